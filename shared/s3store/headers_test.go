package s3store

import (
	"net/url"
	"strings"
	"testing"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/storetest"
)

func TestCopySourceOfOddKeys(t *testing.T) {
	for key, want := range map[string]string{
		"plain/key-1.0_~": "b/plain/key-1.0_~",
		"a b+c%2F%20.txt": "b/a%20b%2Bc%252F%2520.txt",
		"x//y":            "b/x//y",
		"=?&#.txt":        "b/%3D%3F%26%23.txt",
		"ü":               "b/%C3%BC",
		"\x01":            "b/%01",
	} {
		if got := copySource(object.Ref{Bucket: object.Bucket{Name: "b"}, Key: key}); got != want {
			t.Errorf("%q: %s, want %s", key, got, want)
		}
	}
}

// FuzzCopySource: whoever decodes the header finds the key, and nothing that a
// form decoder would read otherwise.
func FuzzCopySource(f *testing.F) {
	for _, key := range storetest.OddKeys() {
		f.Add(key)
	}
	f.Add("\xff\xfe")
	f.Fuzz(func(t *testing.T, key string) {
		encoded := copySource(object.Ref{Bucket: object.Bucket{Name: "b"}, Key: key})
		for name, decode := range map[string]func(string) (string, error){"path": url.PathUnescape, "form": url.QueryUnescape} {
			if got, err := decode(encoded); err != nil || got != "b/"+key {
				t.Errorf("%q as a %s: %q, %v", key, name, got, err)
			}
		}
		if i := strings.IndexFunc(encoded, func(r rune) bool { return r <= ' ' || r > '~' }); i >= 0 {
			t.Errorf("%q: %q cannot be in a header", key, encoded)
		}
	})
}
