package files

import (
	"fmt"
	"os"
	"path/filepath"
)

// maxLinks is how many links a name may lead over, as Linux has it.
const maxLinks = 40

// FollowLinks is where a name leads, there or not: the name itself where it is no symbolic link. A file that
// took a link's own place would leave the old one to whoever reads what the link led to.
func FollowLinks(name string) (string, error) {
	for range maxLinks {
		leads, err := os.Readlink(name)
		if err != nil {
			return name, nil //nolint:nilerr // it is no link, or is not there
		}
		if !filepath.IsAbs(leads) { // filepath.Join would take a .. behind a link for the wrong folder
			folder, _ := filepath.Split(name)
			leads = folder + leads
		}
		folder, file := filepath.Split(leads)
		if folder, err = filepath.EvalSymlinks(folder); err != nil {
			return "", err
		}
		name = filepath.Join(folder, file)
	}
	return "", fmt.Errorf("%s leads over too many links", name)
}
