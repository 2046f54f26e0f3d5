package migrate

import "io/fs"

// WithFiles replaces the embedded migrations.
func (o Options) WithFiles(files fs.FS) Options {
	o.files = files
	return o
}
