package main

import (
	"bufio"
	"fmt"
	"net/http"
	"sort"
	"strconv"
)

// synthetic is a server with one listing, the same for every bucket: so many
// keys as no server on this machine could hold. It answers nothing else.
type synthetic int

func (n synthetic) key(i int) string {
	return fmt.Sprintf("folder-%06d/object-%04d.bin", i/1000, i%1000)
}

func (n synthetic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if r.Method != http.MethodGet || query.Get("list-type") != "2" || query.Has("continuation-token") || query.Get("prefix") != "" {
		http.Error(w, "a listing from a key on is all there is", http.StatusNotImplemented)
		return
	}
	limit, err := strconv.Atoi(query.Get("max-keys"))
	if err != nil {
		limit = 1000
	}
	after := query.Get("start-after")
	from := 0
	if after != "" {
		from = sort.Search(int(n), func(i int) bool { return n.key(i) > after })
	}
	to := min(from+limit, int(n))
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><KeyCount>%d</KeyCount><EncodingType>url</EncodingType><IsTruncated>%t</IsTruncated>`, to-from, to < int(n))
	for i := from; i < to; i++ {
		fmt.Fprintf(out, `<Contents><Key>%s</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>`+
			`<ETag>&quot;d41d8cd98f00b204e98009%010x&quot;</ETag><Size>4096</Size><StorageClass>STANDARD</StorageClass></Contents>`, n.key(i), i)
	}
	fmt.Fprint(out, "</ListBucketResult>")
	_ = out.Flush() // a client that left
}
