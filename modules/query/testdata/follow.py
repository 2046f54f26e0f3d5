"""Follows the feed by server-sent events, with nothing but the standard library, and prints each event's
position and eventId: follow.py URL COUNT, with the token in TOKEN. It leaves after every 7 events and comes
back, as one does whose connection is lost.
"""
import json
import os
import sys
import urllib.request

url, count = sys.argv[1], int(sys.argv[2])
last, seen = None, 0
while seen < count:
    request = urllib.request.Request(url + "/v1/feed", headers={
        "Accept": "text/event-stream", "Authorization": "Bearer " + os.environ["TOKEN"]})
    if last is not None:
        request.add_header("Last-Event-ID", last)
    with urllib.request.urlopen(request, timeout=60) as stream:
        identity, data, here = last, [], 0
        for line in stream:
            name, _, value = line.decode().rstrip("\r\n").partition(":")
            value = value.removeprefix(" ")
            if name == "id":
                identity = value
            elif name == "data":
                data.append(value)
            elif not name and not value and line in (b"\n", b"\r\n"):
                last = identity
                if data:
                    event = json.loads("\n".join(data))
                    print(event["position"], event["eventId"], flush=True)
                    seen, here, data = seen + 1, here + 1, []
                if seen == count or here == 7:
                    break
