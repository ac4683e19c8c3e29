package object

// Listed is one entry of a listing: an object that a reader would find. Keys
// hidden by a delete marker are not listed.
type Listed struct {
	Key   string
	State State // Present; with neither tags nor checksum, and no version id
}
