package client

import (
	crand "crypto/rand"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Compression of request bodies.
type Compression string

// The compressions. Auto compresses unless the server is on this machine, where
// it costs more than it saves.
const (
	CompressAuto Compression = ""
	CompressGzip Compression = "gzip"
	CompressNone Compression = "none"
)

// Options configures a Client. The zero value is usable.
type Options struct {
	// Key is sent as a bearer token: an ingest key to send, a read or admin
	// token for the rest. Servers on loopback need none.
	Key string

	// Source, Format and the rest describe what is sent; empty is the server's
	// default ("default", "auto", none).
	Source, Format, Project     string
	Service, Host, Env, Release string

	// ClientID names the stream of sequence numbers: 8 to 64 of A-Z a-z 0-9 _ -.
	// Keep it together with the next sequence number to go on after a restart.
	// Empty makes a random one.
	ClientID    string
	Compression Compression

	// Attempts is how often a request is made in all, 10 if zero. With the
	// default backoff ten attempts take about two minutes.
	Attempts int
	// MinBackoff and MaxBackoff bound the wait before the next attempt, which
	// doubles and is varied by a half; 200 ms and 30 s if zero. A Retry-After
	// of the server is waited for in any case, up to five minutes.
	MinBackoff, MaxBackoff time.Duration

	// HTTP makes the requests; nil is a client of its own without a timeout
	// but for connecting (the context bounds a request).
	HTTP *http.Client
	// Jitter returns a number in [0,1), and After a channel that delivers
	// after d; both for tests.
	Jitter func() float64
	After  func(d time.Duration) <-chan time.Time
	// Retrying, if set, is told of every attempt that failed and the wait.
	Retrying func(err error, wait time.Duration)
}

// Client talks to one server. It is safe for concurrent use.
type Client struct {
	base     *url.URL
	opts     Options
	compress bool
}

// New returns a client of the server at serverURL, such as http://127.0.0.1:8080.
// It does not connect.
func New(serverURL string, o Options) (*Client, error) {
	if !strings.Contains(serverURL, "://") {
		serverURL = "http://" + serverURL
	}
	base, err := url.Parse(strings.TrimSuffix(serverURL, "/"))
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, fmt.Errorf("server %q: want a URL such as http://127.0.0.1:8080", serverURL)
	}
	if o.ClientID == "" {
		o.ClientID = NewClientID()
	}
	if o.Attempts <= 0 {
		o.Attempts = 10
	}
	if o.MinBackoff <= 0 {
		o.MinBackoff = 200 * time.Millisecond
	}
	if o.MaxBackoff <= 0 {
		o.MaxBackoff = 30 * time.Second
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConnsPerHost: 16,
			IdleConnTimeout:     90 * time.Second,
			ForceAttemptHTTP2:   true,
		}}
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	if o.After == nil {
		o.After = time.After
	}
	c := &Client{base: base, opts: o}
	c.compress = o.Compression == CompressGzip || (o.Compression == CompressAuto && !loopback(base.Hostname()))
	return c, nil
}

// ClientID returns the name of the client's stream.
func (c *Client) ClientID() string { return c.opts.ClientID }

// HTTPClient returns what makes the requests, for use by other Clients.
func (c *Client) HTTPClient() *http.Client { return c.opts.HTTP }

// NewClientID returns a random client id.
func NewClientID() string {
	var b [16]byte
	_, _ = crand.Read(b[:]) // does not fail
	return hex.EncodeToString(b[:])
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
