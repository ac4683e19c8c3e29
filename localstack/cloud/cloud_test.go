package cloud

import (
	"strings"
	"testing"
)

// The caller's credentials would be sent to the local cloud, or worse, the
// local commands to the caller's account.
func TestNothingOfTheCallersAccountReachesChildrenAndClients(t *testing.T) {
	for _, name := range []string{
		"AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB",
		"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "CDK_DEFAULT_ACCOUNT", "NODE_OPTIONS", "HTTPS_PROXY",
	} {
		t.Setenv(name, "the-callers")
	}
	c, err := At("http://127.0.0.1:1", t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	env, err := c.environment()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range env {
		if strings.Contains(e, "the-callers") {
			t.Errorf("a child process gets %s", e)
		}
	}
	cfg := c.AWS()
	credentials, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if *cfg.BaseEndpoint != c.URL() || cfg.Region == "the-callers" || credentials.AccessKeyID == "the-callers" || credentials.SessionToken != "" {
		t.Errorf("a client gets endpoint %s, region %s, key %s", *cfg.BaseEndpoint, cfg.Region, credentials.AccessKeyID)
	}
}
