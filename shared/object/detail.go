package object

// Detail is a look at everything about an object but its bytes.
type Detail struct {
	State
	Metadata map[string]string // that its writer gave it, by name in lower case
	Headers  map[string]string // the content headers that are set, such as Content-Type, and Redirect
	Sums     map[Sum]string    // checksums of the bytes, as far as there are any
}

// Sum is a kind of checksum. Two that are equal prove equal bytes; two that
// differ prove nothing where they are composite.
type Sum struct {
	Algorithm string // MD5, where the tag is one, CRC32, CRC32C, CRC64NVME, SHA1, SHA256
	// Composite: it is the checksum of the parts' checksums, and so depends on
	// where the parts were cut.
	Composite bool
}

// Redirect is the header of a website's redirect.
const Redirect = "X-Amz-Website-Redirect-Location"
