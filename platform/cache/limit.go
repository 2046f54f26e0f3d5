package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/redis/rueidis"
)

// takeScript is a token bucket by Redis's own clock. Its fields are tokens and when they were true. One that holds what
// the script does not write is full: whoever wrote it must not have anybody refused for ever.
const takeScript = `
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local rate, size = tonumber(ARGV[1]), tonumber(ARGV[2])
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local had, at = tonumber(kept[1] or ''), tonumber(kept[2] or '')
local tokens, ok = size, 0
if had and at and had >= 0 and had <= size and at <= now + 1 then
	tokens = math.min(size, had + rate * math.max(0, now - at))
end
if tokens >= 1 then
	tokens, ok = tokens - 1, 1
	redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', tostring(now))
	redis.call('PEXPIRE', KEYS[1], math.ceil(1000 * size / rate) + 1000)
end
return {ok, tostring(tokens)}`

// Limit is token buckets that processes share.
type Limit struct {
	redis  *Redis
	script *rueidis.Lua
}

// NewLimit returns a Limit.
func NewLimit(redis *Redis) *Limit { return &Limit{redis, rueidis.NewLuaScript(takeScript)} }

// Take takes a token from the bucket of a name, which gets rate tokens a second and holds size. It returns how many
// are left, and whether there was one. An error says nothing about the bucket: the caller has to count by itself.
func (l *Limit) Take(ctx context.Context, name string, rate, size float64) (left float64, ok bool, err error) {
	sum := sha256.Sum256([]byte(name)) // Redis need not know who asks
	// A bucket of another limit is another bucket: processes may be configured one after the other.
	key := fmt.Sprintf("audittrail:limit:%s:%v:%v", hex.EncodeToString(sum[:16]), rate, size)
	err = l.redis.use(ctx, func(ctx context.Context, client rueidis.Client) error {
		answer, err := l.script.Exec(ctx, client, []string{key}, []string{number(rate), number(size)}).ToArray()
		if err != nil {
			return err
		}
		taken, err := answer[0].AsInt64()
		if err != nil {
			return err
		}
		ok = taken == 1
		left, err = answer[1].AsFloat64()
		return err
	})
	return left, ok, err
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
