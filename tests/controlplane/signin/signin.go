// Package signin signs in by authorization code with PKCE, as an application and its user's browser together would.
package signin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// client is what a sign-in needs. Its names are the default keys of the Secret that the operator writes.
type client struct {
	authorizeURL, tokenURL, id, secret, scopes, redirectURL string
}

// Run signs in, prints which tokens came, never their values, and returns an exit code. The secret comes from the
// environment or standard input, since arguments are visible to every process of the machine.
func Run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c, err := readClient(args, stdin, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		err = signIn(ctx, c, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "signin:", err)
		return 1
	}
	return 0
}

func readClient(args []string, stdin io.Reader, stderr io.Writer) (client, error) {
	var c client
	flags := flag.NewFlagSet("signin", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&c.authorizeURL, "authorize-url", os.Getenv("AUTHORIZE_URL"), "authorization endpoint; default $AUTHORIZE_URL")
	flags.StringVar(&c.tokenURL, "token-url", os.Getenv("TOKEN_URL"), "token endpoint; default $TOKEN_URL")
	flags.StringVar(&c.id, "client-id", os.Getenv("CLIENT_ID"), "client id; default $CLIENT_ID")
	flags.StringVar(&c.scopes, "scopes", os.Getenv("SCOPES"), "scopes, separated by spaces; default $SCOPES")
	flags.StringVar(&c.redirectURL, "redirect-url", os.Getenv("REDIRECT_URL"), "one of the client's redirect URIs; default $REDIRECT_URL")
	fromSecret := flags.Bool("secret", false, "read a Kubernetes Secret with the default keys as JSON from standard input")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	c.secret = os.Getenv("CLIENT_SECRET")
	if *fromSecret {
		if err := c.readSecret(stdin); err != nil {
			return c, err
		}
	}
	for name, value := range map[string]string{
		"AUTHORIZE_URL": c.authorizeURL, "TOKEN_URL": c.tokenURL, "CLIENT_ID": c.id,
		"CLIENT_SECRET": c.secret, "REDIRECT_URL (--redirect-url)": c.redirectURL,
	} {
		if value == "" {
			return c, fmt.Errorf("%s is not given", name)
		}
	}
	return c, nil
}

// readSecret fills in what the Secret holds; the rest stays as flags and environment said.
func (c *client) readSecret(from io.Reader) error {
	var object struct{ Data map[string][]byte }
	if json.NewDecoder(from).Decode(&object) != nil {
		// The decoder's own error may quote what it read.
		return errors.New("standard input is not a Secret as JSON")
	}
	for key, field := range map[string]*string{
		"AUTHORIZE_URL": &c.authorizeURL, "TOKEN_URL": &c.tokenURL, "CLIENT_ID": &c.id, "CLIENT_SECRET": &c.secret,
		"SCOPES": &c.scopes,
	} {
		if value, present := object.Data[key]; present {
			*field = string(value)
		}
	}
	return nil
}

func signIn(ctx context.Context, c client, stdout io.Writer) error {
	config := oauth2.Config{
		ClientID:     c.id,
		ClientSecret: c.secret,
		RedirectURL:  c.redirectURL,
		Scopes:       strings.Fields(c.scopes),
		Endpoint:     oauth2.Endpoint{AuthURL: c.authorizeURL, TokenURL: c.tokenURL},
	}
	state, verifier := rand.Text(), oauth2.GenerateVerifier()
	code, err := authorize(ctx, config.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier)), c.redirectURL, state)
	if err != nil {
		return err
	}
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		return fmt.Errorf("the token endpoint refused the code: %w", withoutBody(err))
	}
	fmt.Fprintln(stdout, "signed in, received:", names(token))
	if token.RefreshToken == "" {
		return nil
	}
	refreshed, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
	if err != nil {
		return fmt.Errorf("the token endpoint refused the refresh token: %w", withoutBody(err))
	}
	fmt.Fprintln(stdout, "refreshed, received:", names(refreshed))
	return nil
}

// authorize asks for the page that a browser would be sent to and returns the code that it is redirected with. The
// redirect itself is not followed: nothing listens there.
func authorize(ctx context.Context, page, redirectURL, state string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return "", err
	}
	browser := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := browser.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode < 300 || answer.StatusCode > 399 {
		why, _ := io.ReadAll(io.LimitReader(answer.Body, 300))
		return "", fmt.Errorf("the authorization endpoint did not redirect: %s: %s", answer.Status, why)
	}
	// Neither the location nor an error about it is printed below: it holds the code.
	location, err := answer.Location()
	if err != nil {
		return "", errors.New("the authorization endpoint redirected to something that is no URL")
	}
	query := location.Query()
	if reason := query.Get("error"); reason != "" {
		return "", fmt.Errorf("the authorization endpoint refused: %s: %s", reason, query.Get("error_description"))
	}
	if !startsAt(location, redirectURL) {
		return "", fmt.Errorf("the authorization endpoint redirected to another place than %s", redirectURL)
	}
	if query.Get("state") != state {
		return "", errors.New("the authorization endpoint returned another state than it was given")
	}
	if query.Get("code") == "" {
		return "", errors.New("the authorization endpoint redirected without a code")
	}
	return query.Get("code"), nil
}

// startsAt tells whether location is the redirect URI with more parameters.
func startsAt(location *url.URL, redirectURL string) bool {
	wanted, err := url.Parse(redirectURL)
	if err != nil {
		return false
	}
	return location.Scheme == wanted.Scheme && location.Host == wanted.Host && location.Path == wanted.Path
}

// withoutBody drops the token endpoint's raw answer from an error: nobody knows what a server quotes in it.
func withoutBody(err error) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return err
	}
	return fmt.Errorf("%s %s %s", refused.Response.Status, refused.ErrorCode, refused.ErrorDescription)
}

func names(token *oauth2.Token) string {
	received := []string{"access_token"}
	if token.RefreshToken != "" {
		received = append(received, "refresh_token")
	}
	if id, _ := token.Extra("id_token").(string); id != "" {
		received = append(received, "id_token")
	}
	return strings.Join(received, ", ")
}
