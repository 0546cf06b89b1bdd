package report

import "testing"

func TestCPE(t *testing.T) {
	t.Parallel()
	for short, long := range map[string]string{
		"cpe:/a:f5:nginx:1.22.1":        "cpe:2.3:a:f5:nginx:1.22.1:*:*:*:*:*:*:*",
		"cpe:/a:openbsd:openssh:9.2:p1": "cpe:2.3:a:openbsd:openssh:9.2:p1:*:*:*:*:*:*",
		"cpe:/o:linux:linux_kernel":     "cpe:2.3:o:linux:linux_kernel:*:*:*:*:*:*:*:*",
		"cpe:/a:vendor::2":              "cpe:2.3:a:vendor:*:2:*:*:*:*:*:*:*",
	} {
		if got := formatted(short); got != long {
			t.Errorf("%s is %s, want %s", short, got, long)
		}
		if got := uri(long); got != short {
			t.Errorf("%s is %s, want %s", long, got, short)
		}
	}
	for _, other := range []string{"", "cpe:/", "openssh", `cpe:2.3:a:x:y\:z:1:*:*:*:*:*:*:*`} {
		if formatted(other) != other || uri(other) != other {
			t.Errorf("%q becomes %q and %q", other, formatted(other), uri(other))
		}
	}
}
