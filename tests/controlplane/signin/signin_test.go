package signin

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

const redirectURL = "https://shop.example.com/oauth/callback"

// server is an authorization server for one client that answers as its fields say.
type server struct {
	*httptest.Server
	challenge string
	// redirect gives the parameters of the redirect, from those of the request.
	redirect func(request url.Values) url.Values
	refuse   bool
}

func newServer(t *testing.T) *server {
	s := &server{redirect: func(request url.Values) url.Values {
		return url.Values{"code": {"the-code"}, "state": request["state"]}
	}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if query.Get("code_challenge_method") != "S256" || query.Get("response_type") != "code" {
			http.Error(w, "not PKCE", http.StatusBadRequest)
			return
		}
		s.challenge = query.Get("code_challenge")
		http.Redirect(w, r, query.Get("redirect_uri")+"?"+s.redirect(query).Encode(), http.StatusFound)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if s.refuse || id != "the-id" || secret != "the-secret" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client","quoted":"the-secret"}`)
			return
		}
		verified := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		grant := r.FormValue("grant_type")
		byCode := grant == "authorization_code" && r.FormValue("code") == "the-code" &&
			base64.RawURLEncoding.EncodeToString(verified[:]) == s.challenge
		if !byCode && !(grant == "refresh_token" && r.FormValue("refresh_token") == "the-refresh-token") {
			http.Error(w, "bad grant", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"the-token","token_type":"Bearer","refresh_token":"the-refresh-token","id_token":"the-id-token"}`)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *server) signIn(t *testing.T) (int, string) {
	secret, err := json.Marshal(map[string]any{"kind": "Secret", "data": map[string][]byte{
		"AUTHORIZE_URL": []byte(s.URL + "/authorize"), "TOKEN_URL": []byte(s.URL + "/token"),
		"CLIENT_ID": []byte("the-id"), "CLIENT_SECRET": []byte("the-secret"), "SCOPES": []byte("openid email"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	code := Run([]string{"--secret", "--redirect-url", redirectURL}, bytes.NewReader(secret), &output, &output)
	for _, value := range []string{"the-secret", "the-token", "the-refresh-token", "the-id-token", "the-code"} {
		if strings.Contains(output.String(), value) {
			t.Errorf("the output shows %s: %s", value, &output)
		}
	}
	return code, output.String()
}

func TestTokensComeAndAreRefreshed(t *testing.T) {
	code, output := newServer(t).signIn(t)
	want := "signed in, received: access_token, refresh_token, id_token\n" +
		"refreshed, received: access_token, refresh_token, id_token\n"
	if code != 0 || output != want {
		t.Errorf("exit code %d, output %q", code, output)
	}
}

func TestFailuresAreNamed(t *testing.T) {
	for want, change := range map[string]func(*server){
		"returned another state": func(s *server) {
			s.redirect = func(url.Values) url.Values { return url.Values{"code": {"the-code"}, "state": {"forged"}} }
		},
		"without a code": func(s *server) {
			s.redirect = func(request url.Values) url.Values { return url.Values{"state": request["state"]} }
		},
		"refused: access_denied: not you": func(s *server) {
			s.redirect = func(url.Values) url.Values {
				return url.Values{"error": {"access_denied"}, "error_description": {"not you"}}
			}
		},
		"refused the code: 401 Unauthorized invalid_client": func(s *server) { s.refuse = true },
	} {
		s := newServer(t)
		change(s)
		if code, output := s.signIn(t); code != 1 || !strings.Contains(output, want) {
			t.Errorf("want %q, got exit code %d, output %q", want, code, output)
		}
	}
}
