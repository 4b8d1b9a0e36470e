// What Go's net/http client sees of the app of test/wire/http-clients.test.ts, as JSON.
// Arguments: http1 or http2 (with prior knowledge), the origin, the large file, the target with odd characters.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"time"
)

type answer struct {
	Status int     `json:"status"`
	Length *string `json:"length"`
	Sha256 string  `json:"sha256"`
}

var (
	client      http.Client
	origin      string
	file        string
	connections int
	continued   bool
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func ask(method, path string, body io.Reader, length int64, fields map[string]string, trailer string) (*http.Response, []byte) {
	trace := &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) {
			if !got.Reused {
				connections++
			}
		},
		Got100Continue: func() { continued = true },
	}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), method, origin+path, body)
	must(err)
	request.ContentLength = length
	for name, value := range fields {
		request.Header.Set(name, value)
	}
	if trailer != "" {
		request.Trailer = http.Header{"X-Digest": {trailer}}
	}
	response, err := client.Do(request)
	must(err)
	whole, err := io.ReadAll(response.Body)
	must(err)
	response.Body.Close()
	return response, whole
}

func seen(response *http.Response, body []byte) answer {
	sum := sha256.Sum256(body)
	result := answer{Status: response.StatusCode, Sha256: hex.EncodeToString(sum[:])}
	if length := response.Header.Get("Content-Length"); length != "" {
		result.Length = &length
	}
	return result
}

func upload(length int64, fields map[string]string, trailer string) json.RawMessage {
	body, err := os.Open(file)
	must(err)
	response, whole := ask("POST", "/upload", body, length, fields, trailer)
	if response.StatusCode != 200 {
		panic(response.Status)
	}
	return whole
}

func main() {
	kind, target := os.Args[1], os.Args[4]
	origin, file = os.Args[2], os.Args[3]
	protocols := new(http.Protocols)
	protocols.SetHTTP1(kind == "http1")
	protocols.SetUnencryptedHTTP2(kind == "http2")
	client.Transport = &http.Transport{Protocols: protocols, ExpectContinueTimeout: 5 * time.Second}
	info, err := os.Stat(file)
	must(err)

	get := func(path string) answer { return seen(ask("GET", path, nil, 0, nil, "")) }
	report := map[string]any{}
	_, query := ask("GET", target, nil, 0, nil, "")
	report["query"] = string(query)
	report["head"] = seen(ask("HEAD", "/large", nil, 0, nil, ""))
	report["empty"] = get("/empty")
	report["cached"] = seen(ask("GET", "/cached", nil, 0, map[string]string{"If-None-Match": `"v1"`}, ""))
	report["large"] = get("/large")
	report["streamed"] = get("/streamed")
	// It asks for gzip and unpacks it by itself, and then takes the header away.
	zipped, text := ask("GET", "/gzip", nil, 0, nil, "")
	if !zipped.Uncompressed {
		panic("the answer was not compressed")
	}
	report["gzip"] = map[string]string{"encoding": "gzip", "text": string(text)}
	report["upload"] = upload(info.Size(), nil, "")
	report["chunked"] = upload(-1, nil, "")
	trailers, _ := ask("GET", "/trailers", nil, 0, nil, "")
	report["trailers"] = trailers.Trailer.Get("X-Digest")
	report["sentTrailers"] = upload(-1, nil, "sent")
	expected := upload(info.Size(), map[string]string{"Expect": "100-continue"}, "")
	report["continued"] = []any{continued, expected}
	report["connections"] = connections
	out, err := json.Marshal(report)
	must(err)
	_, err = io.Copy(os.Stdout, bytes.NewReader(out))
	must(err)
}
