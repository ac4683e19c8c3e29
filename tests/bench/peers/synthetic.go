package main

import (
	"bufio"
	"cmp"
	"fmt"
	"net/http"
	"sort"
	"strconv"
)

// synthetic is a server with one listing, the same for every bucket: of more
// keys than a server on this machine could hold, or could list as fast as S3
// does. versitygw reads a whole folder again for each page of it. It answers
// nothing else, so whoever does more than list fails.
type synthetic int

func (synthetic) key(i int) string { return fmt.Sprintf("object-%09d.bin", i) }

func (n synthetic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if r.Method != http.MethodGet || query.Get("list-type") != "2" || query.Get("prefix") != "" {
		http.Error(w, "nothing but a listing is to be had", http.StatusNotImplemented)
		return
	}
	limit, err := strconv.Atoi(query.Get("max-keys"))
	if err != nil {
		limit = 1000
	}
	from := 0
	if after := cmp.Or(query.Get("continuation-token"), query.Get("start-after")); after != "" {
		from = sort.Search(int(n), func(i int) bool { return n.key(i) > after })
	}
	to := min(from+limit, int(n))
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<ListBucketResult><KeyCount>%d</KeyCount><EncodingType>url</EncodingType>`, to-from)
	if to < int(n) {
		fmt.Fprintf(out, `<IsTruncated>true</IsTruncated><NextContinuationToken>%s</NextContinuationToken>`, n.key(to-1))
	} else {
		fmt.Fprint(out, `<IsTruncated>false</IsTruncated>`)
	}
	for i := from; i < to; i++ {
		fmt.Fprintf(out, `<Contents><Key>%s</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>`+
			`<ETag>&quot;%032x&quot;</ETag><Size>4096</Size><StorageClass>STANDARD</StorageClass></Contents>`, n.key(i), i)
	}
	fmt.Fprint(out, "</ListBucketResult>")
	_ = out.Flush() // a client that left
}
