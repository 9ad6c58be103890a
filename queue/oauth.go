package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace"
)

// tokenSource gets tokens by the client credentials grant of OAuth 2.0 (RFC
// 6749, section 4.4) and keeps one until most of its life is over. Safe for
// concurrent use.
type tokenSource struct {
	o      *SASLOptions
	now    func() time.Time
	client *http.Client

	mu      sync.Mutex
	have    string
	renewAt time.Time
}

// tokenTimeout bounds a request for a token. maxTokenAnswer is far above any
// token that fits a Kafka request.
const (
	tokenTimeout   = 10 * time.Second
	maxTokenAnswer = 1 << 20
)

func newTokenSource(o *SASLOptions, now func() time.Time) *tokenSource {
	return &tokenSource{o: o, now: now, client: &http.Client{
		Timeout: tokenTimeout,
		// The secret is for one address.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// token returns one that is good for at least a fifth of its life, or as long as
// the server says nothing about that, a new one each time.
func (s *tokenSource) token(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.have != "" && s.now().Before(s.renewAt) {
		return s.have, nil
	}
	asked := s.now()
	a, err := s.ask(ctx)
	if err != nil {
		return "", fmt.Errorf("get a token: %w", err)
	}
	s.have, s.renewAt = a.AccessToken, asked.Add(time.Duration(a.ExpiresIn)*time.Second*4/5)
	return s.have, nil
}

// tokenAnswer is the answer of RFC 6749, sections 5.1 and 5.2.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"` // seconds
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func (s *tokenSource) ask(ctx context.Context) (*tokenAnswer, error) {
	secret, err := s.o.ClientSecret.read()
	if err != nil {
		return nil, err
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if s.o.Scope != "" {
		form.Set("scope", s.o.Scope)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, millrace.Errorf(millrace.ErrInvalid, "queue.sasl.token_url is no address")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(url.QueryEscape(s.o.ClientID), url.QueryEscape(secret)) // section 2.3.1
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, &millrace.Error{
			Code: millrace.ErrUnavailable, Err: err, Message: "queue.sasl.token_url cannot be reached",
			Hint: "check the address and that this host may connect to it",
		}
	}
	defer resp.Body.Close()
	var a tokenAnswer
	err = json.NewDecoder(io.LimitReader(resp.Body, maxTokenAnswer)).Decode(&a)
	if resp.StatusCode != http.StatusOK || err != nil || a.AccessToken == "" {
		return nil, &millrace.Error{
			Code: millrace.ErrUnavailable,
			// What the server says of it holds no secret; the body might.
			Message: fmt.Sprintf("queue.sasl.token_url answered %d without a token %s", resp.StatusCode, strings.TrimSpace(a.Error+" "+a.Description)),
			Hint:    "check queue.sasl.client_id, client_secret and scope against what the identity provider has",
		}
	}
	return &a, nil
}
