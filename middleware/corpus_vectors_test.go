package middleware_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"hash"
	"slices"
	"strings"
	"time"

	"github.com/stytchware/stytchware/stytchtest"
)

// corpusVectors is the whole corpus. Unless a vector says otherwise it is well
// signed with a key of the project.
func corpusVectors() []vector {
	return slices.Concat(
		envelopeVectors(), spellingVectors(), algorithmVectors(), confusionVectors(), headerVectors(), kidVectors(),
		nameVectors(), duplicateVectors(), timeVectors(), identityVectors(), sessionVectors(), sizeVectors(), jsonVectors(),
	)
}

// edited is the good payload with text replaced, in pairs; each text must be
// there exactly once, so that no edit is without effect.
func edited(name, want string, pairs ...string) vector {
	return vector{name: name, want: want, make: func(f *forge) string { return f.sign(corpusHeader, replaced(corpusPayload, pairs...)) }}
}

// headed is the good payload under another header.
func headed(name, want, header string) vector {
	return vector{name: name, want: want, make: func(f *forge) string { return f.sign(header, corpusPayload) }}
}

// bent is the good token, spoilt after it was signed.
func bent(name, want string, bend func(string) string) vector {
	return vector{name: name, want: want, make: func(f *forge) string { return bend(f.good()) }}
}

func replaced(text string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		if strings.Count(text, pairs[i]) != 1 {
			panic(fmt.Sprintf("%q is %d times in %s", pairs[i], strings.Count(text, pairs[i]), text))
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

func segmentsOf(token string) (header, payload, signature string) {
	p := strings.Split(token, ".")
	return p[0], p[1], p[2]
}

// onlyHydrate is for bytes that net/http lets into no header.
func onlyHydrate(v vector) vector { v.noHeader = true; return v }

func inCookie(v vector, want string) vector { v.cookieWant = want; return v }

func envelopeVectors() []vector {
	literal := func(name, want, token string) vector {
		return vector{name: "envelope: " + name, want: want, make: func(*forge) string { return token }}
	}
	malformed := func(name string, bend func(string) string) vector {
		return bent("envelope: "+name, vecMalformed, bend)
	}
	put := func(s string) func(string) string { // in the middle of the payload
		return func(t string) string { return t[:len(t)/2] + s + t[len(t)/2:] }
	}
	all := []vector{
		bent("envelope: untouched", vecAccepted, func(t string) string { return t }),
		literal("empty", vecAbsent, ""),
		literal("undefined", vecAbsent, "undefined"),
		literal("null", vecAbsent, "null"),
		literal("one dot", vecMalformed, "."),
		literal("two dots", vecMalformed, ".."),
		literal("three dots", vecMalformed, "..."),
		literal("one segment", vecOpaque, "eyJhbGciOiJSUzI1NiJ9"),
		literal("a letter", vecOpaque, "x"),
		literal("an object", vecMalformed, `{"alg":"RS256"}`),
		literal("[object Object]", vecMalformed, "[object Object]"),
		literal("a word per segment", vecBadSpelling, "a.b.c"),
		literal("three words", vecBadHeader, "abcd.abcd.abcd"),
		malformed("two segments", func(t string) string { return t[:strings.LastIndex(t, ".")] }),
		malformed("a fourth segment", func(t string) string { return t + ".e30" }),
		malformed("five segments, as a JWE has", func(t string) string { return t + ".e30.e30" }),
		malformed("a dot at the end", func(t string) string { return t + "." }),
		malformed("a dot at the beginning", func(t string) string { return "." + t }),
		malformed("no header", func(t string) string { return t[strings.Index(t, "."):] }),
		malformed("no payload (detached)", func(t string) string { h, _, s := segmentsOf(t); return h + ".." + s }),
		malformed("no signature", func(t string) string { return t[:strings.LastIndex(t, ".")+1] }),
		malformed("twice, with a comma", func(t string) string { return t + "," + t }),
		malformed("twice, with a space", func(t string) string { return t + " " + t }),
		malformed("a scheme before it", func(t string) string { return "JWT " + t }),
		malformed("the scheme twice", func(t string) string { return "Bearer " + t }),
		malformed("percent-encoded dots", func(t string) string { return strings.ReplaceAll(t, ".", "%2E") }),
		malformed("a percent-encoded letter", func(t string) string { return "%65" + t[1:] }),
		malformed("a percent-encoded NUL at the end", func(t string) string { return t + "%00" }),
		malformed("a plus at the end", func(t string) string { return t + "+" }),
		malformed("a space in the middle", put(" ")),
		malformed("a tab in the middle", put("\t")),
		malformed("a comma in the middle", put(",")),
		malformed("a backslash in the middle", put(`\`)),
		malformed("a quote in the middle", put(`"`)),
		malformed("single quotes around", func(t string) string { return "'" + t + "'" }),
		malformed("angle brackets around", func(t string) string { return "<" + t + ">" }),
		// Double quotes belong to the cookie, not to what it carries (RFC 6265
		// section 4.1.1).
		inCookie(malformed("quotes around", func(t string) string { return `"` + t + `"` }), vecAccepted),
		malformed("two quotes around", func(t string) string { return `""` + t + `""` }),
		malformed("a quote at the end", func(t string) string { return t + `"` }),
		// A semicolon ends the cookie.
		inCookie(malformed("a cookie attribute", func(t string) string { return t + "; Path=/" }), vecAccepted),
		inCookie(malformed("a semicolon in the middle", put(";")), vecMalformed),
		malformed("full-width dots", func(t string) string { return strings.ReplaceAll(t, ".", "．") }),
		malformed("a zero-width space", put("\u200b")),
		malformed("a no-break space at the end", func(t string) string { return t + "\u00a0" }),
		malformed("a byte-order mark", func(t string) string { return "\ufeff" + t }),
		malformed("a right-to-left override", put("\u202e")),
		malformed("a Cyrillic letter", func(t string) string { return "е" + t[1:] }),
		malformed("a byte that is not UTF-8", put("\xff")),
		malformed("an overlong dot", func(t string) string { return strings.Replace(t, ".", "\xc0\xae", 1) }),
		malformed("JSON serialization", func(t string) string {
			h, p, s := segmentsOf(t)
			return `{"protected":"` + h + `","payload":"` + p + `","signature":"` + s + `"}`
		}),
		onlyHydrate(malformed("a NUL in the middle", put("\x00"))),
		onlyHydrate(malformed("a NUL at the end", func(t string) string { return t + "\x00" })),
		onlyHydrate(malformed("a space before it", func(t string) string { return " " + t })),
		onlyHydrate(malformed("a space at the end", func(t string) string { return t + " " })),
		onlyHydrate(malformed("a line break at the end", func(t string) string { return t + "\n" })),
		onlyHydrate(malformed("CR LF at the end", func(t string) string { return t + "\r\n" })),
		onlyHydrate(malformed("another header after CR LF", func(t string) string { return t + "\r\nSet-Cookie: a=b" })),
	}
	// Line breaks are what base64 decoders skip.
	for i, brk := range []string{"\n", "\r", "\r\n"} {
		for at, where := range []string{"header", "payload", "signature"} {
			all = append(all, onlyHydrate(malformed(fmt.Sprintf("line break %d in the %s", i, where), func(t string) string {
				s := strings.Split(t, ".")
				s[at] = s[at][:4] + brk + s[at][4:]
				return strings.Join(s, ".")
			})))
		}
	}
	return all
}

const vecAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// loosened sets bits of the last letter that a decoder throws away: bits 4
// after one byte left over, bits 2 after two.
func loosened(s string, bits int) string {
	last := strings.IndexByte(vecAlphabet, s[len(s)-1])
	return s[:len(s)-1] + string(vecAlphabet[last|bits])
}

func spellingVectors() []vector {
	var all []vector
	// A signature of 256 bytes leaves 4 bits over: 16 spellings, one of them
	// ours.
	for bits := 1; bits < 16; bits++ {
		all = append(all, bent(fmt.Sprintf("spelling: signature %d of 16", bits+1), vecBadSpelling, func(t string) string { return loosened(t, bits) }))
	}
	// Here the loose spelling is what was signed.
	loose := func(name string, header bool) vector {
		return vector{name: "spelling: " + name, want: vecBadSpelling, make: func(f *forge) string {
			h, p := f.fill(corpusHeader), f.fill(corpusPayload)
			for len(h)%3 != 1 {
				h = strings.Replace(h, "{", "{ ", 1)
			}
			for len(p)%3 != 2 {
				p = strings.Replace(p, "{", "{ ", 1)
			}
			hs, ps := corpusSegment(h), corpusSegment(p)
			if header {
				hs = loosened(hs, 0b1001)
			} else {
				ps = loosened(ps, 0b11)
			}
			return f.signSegments(corpusKey(), hs, ps)
		}}
	}
	// longSegment is a segment with a length no base64 has.
	odd := func(name string, at int) vector {
		return bent("spelling: "+name, vecBadSpelling, func(t string) string {
			s := strings.Split(t, ".")
			for len(s[at])%4 != 1 {
				s[at] += "A"
			}
			return strings.Join(s, ".")
		})
	}
	swapped := func(name, from, to string) vector {
		return vector{name: "spelling: " + name, want: vecMalformed, make: func(f *forge) string {
			for i := 0; ; i++ {
				t := f.sign(corpusHeader, replaced(corpusPayload, `"sub"`, fmt.Sprintf(`"jti":"%d","sub"`, i)))
				h, p, s := segmentsOf(t)
				if strings.Contains(s, from) {
					return h + "." + p + "." + strings.ReplaceAll(s, from, to)
				}
			}
		}}
	}
	return append(all,
		loose("header with loose bits, signed so", true),
		loose("payload with loose bits, signed so", false),
		odd("header of 4n+1 letters", 0), odd("payload of 4n+1 letters", 1), odd("signature of 4n+1 letters", 2),
		swapped("signature in the standard vecAlphabet (+)", "-", "+"),
		swapped("signature in the standard vecAlphabet (/)", "_", "/"),
		bent("spelling: padding", vecMalformed, func(t string) string { return t + "==" }),
		bent("spelling: percent-encoded padding", vecMalformed, func(t string) string { return t + "%3D%3D" }),
		vector{name: "spelling: padding that was signed", want: vecMalformed, make: func(f *forge) string {
			h := base64.URLEncoding.EncodeToString([]byte(f.fill(corpusHeader) + " "))
			p := base64.URLEncoding.EncodeToString([]byte(f.fill(corpusPayload) + " "))
			if !strings.Contains(h+p, "=") {
				p = base64.URLEncoding.EncodeToString([]byte(f.fill(corpusPayload) + "  "))
			}
			return f.signSegments(corpusKey(), h, p)
		}},
		bent("spelling: hexadecimal signature", vecBadSignature, func(t string) string {
			h, p, s := segmentsOf(t)
			b, _ := base64.RawURLEncoding.DecodeString(s)
			return h + "." + p + "." + fmt.Sprintf("%x", b)
		}),
		bent("spelling: signature in capitals", vecBadSignature, func(t string) string {
			h, p, s := segmentsOf(t)
			b, _ := base64.RawURLEncoding.DecodeString(strings.ToUpper(s[:len(s)-2]) + "AA")
			return h + "." + p + "." + base64.RawURLEncoding.EncodeToString(b)
		}),
	)
}

func algorithmVectors() []vector {
	var all []vector
	alg := func(name, want, value string) {
		all = append(all, headed("alg: "+name, want, strings.Replace(corpusHeader, `"RS256"`, value, 1)))
	}
	for _, a := range []string{"none", "None", "nOnE", "NONE", "HS256", "HS384", "HS512", "RS384", "RS512", "PS256", "PS384", "PS512",
		"ES256", "ES256K", "EdDSA", "RS1", "rs256", "Rs256", "RS256 ", " RS256", `RS256\u0000`, "RS256,HS256", "SHA256withRSA", "RSA-OAEP", "dir", ""} {
		alg(fmt.Sprintf("%q", a), vecBadAlgorithm, `"`+a+`"`)
	}
	alg("escaped, still RS256", vecAccepted, `"\u0052S256"`)
	alg("null", vecBadHeader, "null")
	alg("number", vecBadHeader, "256")
	alg("array", vecBadHeader, `["RS256"]`)
	alg("array with none", vecBadHeader, `["RS256","none"]`)
	alg("object", vecBadHeader, `{"RS256":true}`)
	alg("true", vecBadHeader, "true")
	return append(all,
		headed("alg: missing", vecBadAlgorithm, `{"kid":"KID","typ":"JWT"}`),
		headed("alg: ALG alone", vecBadAlgorithm, `{"ALG":"RS256","kid":"KID","typ":"JWT"}`),
		headed("alg: Alg none beside it", vecAccepted, `{"alg":"RS256","Alg":"none","kid":"KID","typ":"JWT"}`),
		headed("alg: none and ALG RS256", vecBadAlgorithm, `{"alg":"none","ALG":"RS256","kid":"KID","typ":"JWT"}`),
		headed("alg: twice, the same", vecBadHeader, `{"alg":"RS256","alg":"RS256","kid":"KID","typ":"JWT"}`),
		headed("alg: twice, none last", vecBadHeader, `{"alg":"RS256","kid":"KID","typ":"JWT","alg":"none"}`),
		headed("alg: twice, none first", vecBadHeader, `{"alg":"none","kid":"KID","typ":"JWT","alg":"RS256"}`),
		headed("alg: twice, once escaped", vecBadHeader, `{"alg":"RS256","kid":"KID","typ":"JWT","\u0061lg":"none"}`),
		headed("alg: escaped name", vecAccepted, `{"\u0061lg":"RS256","kid":"KID","typ":"JWT"}`),
		vector{name: "alg: none without a signature", want: vecMalformed, make: func(f *forge) string {
			return corpusSegment(f.fill(`{"alg":"none","kid":"KID","typ":"JWT"}`)) + "." + corpusSegment(f.fill(corpusPayload)) + "."
		}},
		vector{name: "alg: none with rubbish for a signature", want: vecBadAlgorithm, make: func(f *forge) string {
			return corpusSegment(f.fill(`{"alg":"none","kid":"KID","typ":"JWT"}`)) + "." + corpusSegment(f.fill(corpusPayload)) + ".AAAA"
		}},
		vector{name: "alg: RS256 with rubbish for a signature", want: vecBadSignature, make: func(f *forge) string {
			return corpusSegment(f.fill(corpusHeader)) + "." + corpusSegment(f.fill(corpusPayload)) + ".AAAA"
		}},
	)
}

// confusionVectors are signed with something other than the project's key.
func confusionVectors() []vector {
	publicDER := func() []byte {
		b, err := x509.MarshalPKIXPublicKey(&corpusKey().PublicKey)
		if err != nil {
			panic(err)
		}
		return b
	}
	pkcs1 := func() []byte { return x509.MarshalPKCS1PublicKey(&corpusKey().PublicKey) }
	pemOf := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	secrets := []struct {
		name   string
		secret func(*forge) []byte
	}{
		{"PKIX DER", func(*forge) []byte { return publicDER() }},
		{"PKIX PEM", func(*forge) []byte { return pemOf("PUBLIC KEY", publicDER()) }},
		{"PKIX PEM without the last line break", func(*forge) []byte { return bytes.TrimSpace(pemOf("PUBLIC KEY", publicDER())) }},
		{"PKCS 1 DER", func(*forge) []byte { return pkcs1() }},
		{"PKCS 1 PEM", func(*forge) []byte { return pemOf("RSA PUBLIC KEY", pkcs1()) }},
		{"the modulus", func(*forge) []byte { return corpusKey().N.Bytes() }},
		{"n as base64url", func(*forge) []byte { return []byte(base64.RawURLEncoding.EncodeToString(corpusKey().N.Bytes())) }},
		{"the JWK", func(*forge) []byte { b, _ := json.Marshal(corpusJWK(corpusKey(), corpusKID)); return b }},
		{"the project id", func(f *forge) []byte { return []byte(f.project.ID()) }},
		{"the kid", func(*forge) []byte { return []byte(corpusKID) }},
		{"nothing", func(*forge) []byte { return nil }},
	}
	var all []vector
	for _, s := range secrets {
		all = append(all, vector{name: "confusion: HS256 with " + s.name, want: vecBadAlgorithm, make: func(f *forge) string {
			return macced(f, sha256.New, s.secret(f), `{"alg":"HS256","kid":"KID","typ":"JWT"}`)
		}})
	}
	return append(all,
		vector{name: "confusion: an HMAC under RS256", want: vecBadSignature, make: func(f *forge) string {
			return macced(f, sha256.New, publicDER(), corpusHeader)
		}},
		vector{name: "confusion: HS512 with PKIX PEM", want: vecBadAlgorithm, make: func(f *forge) string {
			return macced(f, sha512.New, pemOf("PUBLIC KEY", publicDER()), `{"alg":"HS512","kid":"KID","typ":"JWT"}`)
		}},
		vector{name: "confusion: RS512 under RS256", want: vecBadSignature, make: func(f *forge) string {
			text := corpusSegment(f.fill(corpusHeader)) + "." + corpusSegment(f.fill(corpusPayload))
			sum := sha512.Sum512([]byte(text))
			sig, err := rsa.SignPKCS1v15(nil, corpusKey(), crypto.SHA512, sum[:])
			if err != nil {
				panic(err)
			}
			return text + "." + base64.RawURLEncoding.EncodeToString(sig)
		}},
		vector{name: "confusion: PS256 under RS256", want: vecBadSignature, make: func(f *forge) string {
			text := corpusSegment(f.fill(corpusHeader)) + "." + corpusSegment(f.fill(corpusPayload))
			sum := sha256.Sum256([]byte(text))
			sig, err := rsa.SignPSS(rand.Reader, corpusKey(), crypto.SHA256, sum[:], nil)
			if err != nil {
				panic(err)
			}
			return text + "." + base64.RawURLEncoding.EncodeToString(sig)
		}},
		vector{name: "confusion: PS256, and says so", want: vecBadAlgorithm, make: func(f *forge) string {
			text := corpusSegment(f.fill(`{"alg":"PS256","kid":"KID","typ":"JWT"}`)) + "." + corpusSegment(f.fill(corpusPayload))
			sum := sha256.Sum256([]byte(text))
			sig, err := rsa.SignPSS(rand.Reader, corpusKey(), crypto.SHA256, sum[:], nil)
			if err != nil {
				panic(err)
			}
			return text + "." + base64.RawURLEncoding.EncodeToString(sig)
		}},
		vector{name: "confusion: ES256 with a key of its own", want: vecBadAlgorithm, make: func(f *forge) string {
			k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				panic(err)
			}
			text := corpusSegment(f.fill(`{"alg":"ES256","kid":"KID","typ":"JWT"}`)) + "." + corpusSegment(f.fill(corpusPayload))
			sum := sha256.Sum256([]byte(text))
			r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
			if err != nil {
				panic(err)
			}
			sig := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
			return text + "." + base64.RawURLEncoding.EncodeToString(sig)
		}},
		vector{name: "confusion: an unhashed signature", want: vecBadSignature, make: func(f *forge) string {
			text := corpusSegment(f.fill(corpusHeader)) + "." + corpusSegment(f.fill(corpusPayload))
			sum := sha256.Sum256([]byte(text))
			sig, err := rsa.SignPKCS1v15(nil, corpusKey(), 0, sum[:])
			if err != nil {
				panic(err)
			}
			return text + "." + base64.RawURLEncoding.EncodeToString(sig)
		}},
		signedAs("confusion: signed by a stranger in the key's name", func(f *forge, t string) []byte { return rs256(foreignCorpusKey(), t) }),
		signedAs("confusion: signature of zeros", func(*forge, string) []byte { return make([]byte, 256) }),
		signedAs("confusion: signature of ones", func(*forge, string) []byte { return bytes.Repeat([]byte{0xff}, 256) }),
		signedAs("confusion: signature 1", func(*forge, string) []byte { return append(make([]byte, 255), 1) }),
		signedAs("confusion: the modulus as the signature", func(*forge, string) []byte { return corpusKey().N.Bytes() }),
		signedAs("confusion: a zero byte before the signature", func(_ *forge, t string) []byte { return append([]byte{0}, rs256(corpusKey(), t)...) }),
		signedAs("confusion: a zero byte after the signature", func(_ *forge, t string) []byte { return append(rs256(corpusKey(), t), 0) }),
		signedAs("confusion: a signature cut short", func(_ *forge, t string) []byte { return rs256(corpusKey(), t)[:255] }),
		signedAs("confusion: a signature backwards", func(_ *forge, t string) []byte {
			b := rs256(corpusKey(), t)
			slices.Reverse(b)
			return b
		}),
		signedAs("confusion: one bit of the signature", func(_ *forge, t string) []byte { b := rs256(corpusKey(), t); b[100] ^= 1; return b }),
		signedAs("confusion: another token's signature", func(f *forge, t string) []byte { return rs256(corpusKey(), t+"x") }),
		signedAs("confusion: the payload's signature without the header", func(_ *forge, t string) []byte {
			return rs256(corpusKey(), t[strings.Index(t, ".")+1:])
		}),
		signedAs("confusion: signature and payload", func(_ *forge, t string) []byte { return append(rs256(corpusKey(), t), "x"...) }),
		vector{name: "confusion: another payload under a good signature", want: vecBadSignature, make: func(f *forge) string {
			h, _, s := segmentsOf(f.good())
			return h + "." + corpusSegment(f.fill(replaced(corpusPayload, "USER", "user-test-admin"))) + "." + s
		}},
		vector{name: "confusion: another header under a good signature", want: vecBadSignature, make: func(f *forge) string {
			_, p, s := segmentsOf(f.good())
			return corpusSegment(f.fill(`{"alg":"RS256","kid":"KID"}`)) + "." + p + "." + s
		}},
		vector{name: "confusion: another key of the project in the header", want: vecBadSignature, make: func(f *forge) string {
			return f.sign(strings.Replace(corpusHeader, "KID", f.project.KeyID(), 1), corpusPayload)
		}},
		vector{name: "confusion: forged in the project's key's name", want: vecBadSignature, make: func(f *forge) string {
			return f.project.MintJWT(f.session.ID, stytchtest.Mint{Forged: true})
		}},
		vector{name: "confusion: forged and expired", want: vecBadSignature, make: func(f *forge) string {
			return f.project.MintJWT(f.session.ID, stytchtest.Mint{Forged: true, IssuedAt: f.now.Add(-time.Hour)})
		}},
	)
}

func signedAs(name string, sign func(f *forge, text string) []byte) vector {
	return vector{name: name, want: vecBadSignature, make: func(f *forge) string {
		text := corpusSegment(f.fill(corpusHeader)) + "." + corpusSegment(f.fill(corpusPayload))
		return text + "." + base64.RawURLEncoding.EncodeToString(sign(f, text))
	}}
}

func macced(f *forge, h func() hash.Hash, secret []byte, header string) string {
	text := corpusSegment(f.fill(header)) + "." + corpusSegment(f.fill(corpusPayload))
	m := hmac.New(h, secret)
	m.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func headerVectors() []vector {
	with := func(name, want, member string) vector {
		return headed("header: "+name, want, replaced(corpusHeader, `"typ":"JWT"`, `"typ":"JWT",`+member))
	}
	typ := func(value, want string) vector {
		return headed("header: typ "+value, want, strings.Replace(corpusHeader, `"JWT"`, value, 1))
	}
	attacker := func(name, header string) vector {
		return vector{name: "header: " + name, want: vecBadExtension, make: func(f *forge) string {
			jwk, err := json.Marshal(corpusJWK(foreignCorpusKey(), corpusKID))
			if err != nil {
				panic(err)
			}
			header := strings.Replace(f.fill(header), "JWK", string(jwk), 1)
			return f.signSegments(foreignCorpusKey(), corpusSegment(header), corpusSegment(f.fill(corpusPayload)))
		}}
	}
	return []vector{
		headed("header: typ missing", vecAccepted, `{"alg":"RS256","kid":"KID"}`),
		typ(`"at+jwt"`, vecBadType), typ(`"application/at+jwt"`, vecBadType), typ(`"logout+jwt"`, vecBadType), typ(`"dpop+jwt"`, vecBadType),
		typ(`"id_token"`, vecBadType), typ(`"JOSE"`, vecBadType), typ(`"JWE"`, vecBadType), typ(`"jwt"`, vecBadType), typ(`"JWT "`, vecBadType),
		typ(`""`, vecBadType), typ(`null`, vecBadHeader), typ(`1`, vecBadHeader), typ(`["JWT"]`, vecBadHeader), typ(`{}`, vecBadHeader),
		with("an unknown member", vecAccepted, `"x":{"alg":"none"}`),
		with("cty", vecBadExtension, `"cty":"JWT"`),
		// CVE-2025-59420: crit was ignored.
		with("crit", vecBadExtension, `"crit":["exp"],"exp":1`),
		with("crit of an unknown name", vecBadExtension, `"crit":["x"],"x":true`),
		with("crit that is empty", vecBadExtension, `"crit":[]`),
		with("crit that is null", vecBadExtension, `"crit":null`),
		with("crit that is a string", vecBadExtension, `"crit":"b64"`),
		with("escaped crit", vecBadExtension, `"\u0063rit":["b64"]`),
		with("b64 false", vecBadExtension, `"b64":false`),
		with("b64 false and crit", vecBadExtension, `"b64":false,"crit":["b64"]`),
		with("b64 true", vecBadExtension, `"b64":true`),
		with("zip", vecBadExtension, `"zip":"DEF"`),
		with("enc", vecBadExtension, `"enc":"A256GCM"`),
		with("jku", vecBadExtension, `"jku":"https://attacker.example/keys"`),
		with("jku of the project", vecBadExtension, `"jku":"https://test.stytch.com/v1/sessions/jwks/PROJECT"`),
		with("x5u", vecBadExtension, `"x5u":"https://attacker.example/cert"`),
		with("jwk that is null", vecBadExtension, `"jwk":null`),
		with("x5c that is empty", vecBadExtension, `"x5c":[]`),
		with("typ twice", vecBadHeader, `"typ":"JWT"`),
		with("a member twice", vecBadHeader, `"x":1,"x":1`),
		with("a member of a member twice", vecBadHeader, `"x":{"y":1,"y":2}`),
		attacker("jwk that signed it", `{"alg":"RS256","kid":"KID","typ":"JWT","jwk":JWK}`),
		attacker("jku and its key", `{"alg":"RS256","kid":"KID","typ":"JWT","jku":"https://attacker.example/keys"}`),
		attacker("x5u and its key", `{"alg":"RS256","kid":"KID","typ":"JWT","x5u":"https://attacker.example/cert"}`),
		attacker("x5c and its key", `{"alg":"RS256","kid":"KID","typ":"JWT","x5c":["MIIB"]}`),
		headed("header: empty object", vecBadAlgorithm, `{}`),
		headed("header: array", vecBadHeader, `["RS256"]`),
		headed("header: string", vecBadHeader, `"RS256"`),
		headed("header: null", vecBadHeader, `null`),
		headed("header: number", vecBadHeader, `1`),
		headed("header: white space", vecBadHeader, ` `),
		headed("header: white space around", vecAccepted, " \r\n\t"+corpusHeader+" \n"),
		headed("header: two objects", vecBadHeader, corpusHeader+corpusHeader),
		headed("header: rubbish after it", vecBadHeader, corpusHeader+"x"),
		headed("header: NUL after it", vecBadHeader, corpusHeader+"\x00"),
		headed("header: a comment", vecBadHeader, replaced(corpusHeader, `{`, `{/**/`)),
		headed("header: a comma too many", vecBadHeader, replaced(corpusHeader, `}`, `,}`)),
		headed("header: single quotes", vecBadHeader, strings.ReplaceAll(corpusHeader, `"`, `'`)),
		headed("header: a byte-order mark", vecBadHeader, "\ufeff"+corpusHeader),
		headed("header: UTF-16", vecBadHeader, strings.Join(strings.Split(corpusHeader, ""), "\x00")),
		headed("header: not UTF-8", vecBadHeader, replaced(corpusHeader, `"typ"`, `"x":"`+"\xff"+`","typ"`)),
		headed("header: a lone surrogate", vecBadHeader, replaced(corpusHeader, `"typ"`, `"x":"\ud800","typ"`)),
		headed("header: cut off", vecBadHeader, strings.TrimSuffix(corpusHeader, `}`)),
		headed("header: depth 32", vecAccepted, replaced(corpusHeader, `"typ"`, `"x":`+nested(31)+`,"typ"`)),
		headed("header: depth 33", vecBadHeader, replaced(corpusHeader, `"typ"`, `"x":`+nested(32)+`,"typ"`)),
	}
}

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

func kidVectors() []vector {
	kid := func(name, want, value string) vector {
		return headed("kid: "+name, want, strings.Replace(corpusHeader, `"KID"`, value, 1))
	}
	return []vector{
		headed("kid: missing", vecBadKID, `{"alg":"RS256","typ":"JWT"}`),
		headed("kid: KID alone", vecBadKID, `{"alg":"RS256","KID":"`+"jwk-test-corpus"+`","typ":"JWT"}`),
		headed("kid: twice", vecBadHeader, `{"alg":"RS256","kid":"KID","typ":"JWT","kid":"other"}`),
		headed("kid: escaped, the same", vecAccepted, `{"alg":"RS256","kid":"\u006awk-test-corpus","typ":"JWT"}`),
		kid("empty", vecBadKID, `""`),
		kid("null", vecBadHeader, `null`),
		kid("number", vecBadHeader, `1`),
		kid("array", vecBadHeader, `["KID"]`),
		kid("object", vecBadHeader, `{"kid":"KID"}`),
		kid("of 256 letters", vecUnknownKey, `"`+strings.Repeat("k", 256)+`"`),
		kid("of 257 letters", vecBadKID, `"`+strings.Repeat("k", 257)+`"`),
		kid("of 8,000 letters", vecBadKID, `"`+strings.Repeat("k", 8000)+`"`),
		kid("unknown", vecUnknownKey, `"jwk-test-unknown"`),
		kid("in capitals", vecUnknownKey, `"JWK-TEST-CORPUS"`),
		kid("with a space at the end", vecUnknownKey, `"KID "`),
		kid("with a NUL at the end", vecUnknownKey, `"KID\u0000"`),
		kid("that begins like ours", vecUnknownKey, `"jwk-test"`),
		kid("that looks like a path", vecUnknownKey, `"../../../../dev/null"`),
		kid("that looks like a URL", vecUnknownKey, `"https://attacker.example/keys"`),
		kid("that looks like SQL", vecUnknownKey, `"x' UNION SELECT 'secret' -- "`),
		kid("that looks like a command", vecUnknownKey, `"x|/usr/bin/id"`),
		kid("with line breaks", vecUnknownKey, `"x\r\nlevel=ERROR msg=\"forged\""`),
		{name: "kid: unknown, and a stranger's signature", want: vecUnknownKey, make: func(f *forge) string {
			return f.project.MintJWT(f.session.ID, stytchtest.Mint{UnknownKey: true})
		}},
		{name: "kid: of another project", want: vecUnknownKey, make: func(f *forge) string {
			other := stytchtest.New(stytchtest.Options{})
			return other.MintJWT(f.session.ID, stytchtest.Mint{ProjectID: f.project.ID(), Claims: map[string]any{"sub": f.session.UserID}})
		}},
	}
}

// nameVectors: claim names match byte for byte. Decoders that fold them let a
// custom claim replace a real one.
func nameVectors() []vector {
	var all []vector
	sub := `"sub":"USER"`
	for _, n := range []string{"SUB", "Sub", "ſub", "sUb", "sub ", " sub", `sub\u0000`, `sub\u200b`, "ѕub", "subject", "user_id"} {
		all = append(all,
			edited("name: "+n+" beside sub", vecAccepted, sub, sub+`,"`+n+`":"user-test-admin"`),
			edited("name: "+n+" before sub", vecAccepted, sub, `"`+n+`":"user-test-admin",`+sub),
			edited("name: "+n+" for sub", vecBadSubject, `"sub"`, `"`+n+`"`),
		)
	}
	session := `"https://stytch.com/session":{`
	for _, n := range []string{"HTTPS://STYTCH.COM/SESSION", "https://stytch.com/Session", "https://ſtytch.com/session", "https://stytch.com/session ",
		"https://stytch.com/session/", "http://stytch.com/session", "https://stytch.com//session", "https://stytch.com/seſſion", "session"} {
		all = append(all,
			edited("name: "+n+" beside the session", vecAccepted, session, `"`+n+`":{"id":"session-test-admin"},`+session),
			edited("name: "+n+" for the session", vecBadSession, `"https://stytch.com/session"`, `"`+n+`"`),
		)
	}
	return append(all,
		edited("name: EXP beside exp", vecAccepted, `"exp":@+300@`, `"exp":@+300@,"EXP":1`),
		edited("name: EXP for exp", vecBadDates, `"exp"`, `"EXP"`),
		edited("name: eXp beside an old exp", vecStale, `"exp":@+300@`, `"exp":@-1@,"eXp":@+300@`),
		edited("name: IAT for iat", vecBadDates, `"iat"`, `"IAT"`),
		edited("name: Nbf for nbf", vecBadDates, `"nbf"`, `"Nbf"`),
		edited("name: ISS for iss", vecBadIssuer, `"iss"`, `"ISS"`),
		edited("name: ISS beside another iss", vecBadIssuer, `"iss":"stytch.com/PROJECT"`, `"iss":"attacker.example","ISS":"stytch.com/PROJECT"`),
		edited("name: AUD for aud", vecBadAudience, `"aud"`, `"AUD"`),
		edited("name: AUD beside another aud", vecBadAudience, `"aud":["PROJECT"]`, `"aud":["other"],"AUD":["PROJECT"]`),
		edited("name: ID for the session's id", vecBadSession, `"id":"SESSION"`, `"ID":"SESSION"`),
		edited("name: ID beside the session's id", vecAccepted, `"id":"SESSION"`, `"id":"SESSION","ID":"session-test-admin"`),
		edited("name: Kelvin sign", vecAccepted, sub, sub+`,"\u212aid":"x","`+"\u212a"+`id2":"x"`),
		edited("name: escaped sub", vecAccepted, `"sub"`, `"\u0073\u0075\u0062"`),
		edited("name: escaped session", vecAccepted, `"https://stytch.com/session"`, `"https:\/\/stytch.com\/\u0073ession"`),
		edited("name: empty", vecAccepted, sub, sub+`,"":"user-test-admin"`),
		edited("name: __proto__", vecAccepted, sub, sub+`,"__proto__":{"sub":"user-test-admin"},"constructor":1`),
	)
}

func duplicateVectors() []vector {
	twice := func(name string, pairs ...string) vector { return edited("twice: "+name, vecBadPayload, pairs...) }
	return []vector{
		twice("sub, the last another's", `"sub":"USER"`, `"sub":"USER","sub":"user-test-admin"`),
		twice("sub, the first another's", `"sub":"USER"`, `"sub":"user-test-admin","sub":"USER"`),
		twice("sub, the same", `"sub":"USER"`, `"sub":"USER","sub":"USER"`),
		twice("sub, once escaped", `"sub":"USER"`, `"sub":"USER","\u0073ub":"user-test-admin"`),
		twice("iss", `"iss":"stytch.com/PROJECT"`, `"iss":"attacker.example","iss":"stytch.com/PROJECT"`),
		twice("aud", `"aud":["PROJECT"]`, `"aud":["other"],"aud":["PROJECT"]`),
		twice("exp", `"exp":@+300@`, `"exp":1,"exp":@+300@`),
		twice("iat", `"iat":@+0@`, `"iat":1,"iat":@+0@`),
		twice("nbf", `"nbf":@+0@`, `"nbf":1,"nbf":@+0@`),
		twice("jti", `"sub"`, `"jti":"a","jti":"a","sub"`),
		twice("session", `"iat"`, `"https://stytch.com/session":{"id":"session-test-admin"},"iat"`),
		twice("session, once escaped", `"iat"`, `"https:\/\/stytch.com/session":{"id":"session-test-admin"},"iat"`),
		twice("the session's id", `"id":"SESSION"`, `"id":"SESSION","id":"session-test-admin"`),
		twice("the session's id, once escaped", `"id":"SESSION"`, `"id":"SESSION","\u0069d":"session-test-admin"`),
		twice("authentication_factors", `"roles"`, `"authentication_factors":[],"roles"`),
		twice("roles", `"roles":["stytch_user"]`, `"roles":[],"roles":["admin"]`),
		twice("expires_at", `"expires_at":"#+3600#"`, `"expires_at":"#+3600#","expires_at":"#+7200#"`),
		twice("delivery_method", `"delivery_method":"email"`, `"delivery_method":"email","delivery_method":"sms"`),
		twice("ip_address", `"ip_address":""`, `"ip_address":"","ip_address":"::1"`),
		twice("in a custom claim", `"sub"`, `"plan":{"a":1,"a":2},"sub"`),
		twice("deep in a custom claim", `"sub"`, `"plan":[[{"x":{"a":[],"b":1,"a":[]}}]],"sub"`),
		twice("a custom claim", `"sub"`, `"plan":1,"plan":2,"sub"`),
		twice("the 14th of many", `"sub"`, `"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"a":1,"sub"`),
	}
}

// timeVectors: well signed and ours, but for the time. What only needs a newer
// JWT is stale; what is no time at all is never acceptable.
func timeVectors() []vector {
	var all []vector
	for _, c := range []struct{ name, offset string }{{"exp", "+300"}, {"iat", "+0"}, {"nbf", "+0"}} {
		old := `"` + c.name + `":@` + c.offset + `@`
		other := func(name, want, value string) {
			all = append(all, edited("time: "+c.name+" "+name, want, old, `"`+c.name+`":`+value))
		}
		all = append(all, edited("time: "+c.name+" missing", vecBadDates, old, `"x-`+c.name+`":@+0@`))
		other("null", vecBadClaim, "null")
		other("string", vecBadClaim, `"@`+c.offset+`@"`)
		other("array", vecBadClaim, `[@`+c.offset+`@]`)
		other("object", vecBadClaim, `{"seconds":@`+c.offset+`@}`)
		other("true", vecBadClaim, "true")
		other("negative", vecBadDates, "-1")
		other("minus zero", vecBadDates, "-0")
		other("1e300", vecBadDates, "1e300")
		other("1e10", vecBadDates, "1e10")
		other("milliseconds", vecBadDates, `@`+c.offset+`@000`)
		other("year 10000", vecBadDates, "253402300800")
		other("2^63", vecBadDates, "9223372036854775808")
		other("40 digits", vecBadDates, strings.Repeat("9", 40))
		other("NaN", vecBadPayload, "NaN")
		other("Infinity", vecBadPayload, "Infinity")
		other("hexadecimal", vecBadPayload, "0x7fffffff")
		other("with a zero before it", vecBadPayload, `0@`+c.offset+`@`)
		other("with a plus before it", vecBadPayload, `+@`+c.offset+`@`)
		other("with a point at the end", vecBadPayload, `@`+c.offset+`@.`)
		other("with a fraction", vecAccepted, strings.Replace(`@OFFSET@.000000001`, "OFFSET", c.offset, 1))
	}
	return append(all,
		edited("time: exp now", vecStale, "@+300@", "@+0@"),
		edited("time: exp a second ago", vecStale, "@+300@", "@-1@"),
		edited("time: exp in a second", vecAccepted, "@+300@", "@+1@"),
		edited("time: exp 0", vecStale, "@+300@", "0"),
		edited("time: exp in the year 9999", vecAccepted, "@+300@", "253402300799"),
		edited("time: exp before iat", vecStale, "@+300@", "@-3600@"),
		edited("time: exp before iat, both ahead", vecStale, "@+300@", "@+10@", `"iat":@+0@`, `"iat":@+60@`),
		edited("time: iat 5 minutes ago", vecAccepted, `"iat":@+0@`, `"iat":@-300@`),
		edited("time: iat 5 minutes and a second ago", vecStale, `"iat":@+0@`, `"iat":@-301@`),
		edited("time: iat 0", vecStale, `"iat":@+0@`, `"iat":0`),
		edited("time: iat ahead by the skew", vecAccepted, `"iat":@+0@`, `"iat":@+30@`),
		edited("time: iat ahead by less", vecAccepted, `"iat":@+0@`, `"iat":@+29@`),
		edited("time: iat ahead by a second more", vecStale, `"iat":@+0@`, `"iat":@+31@`),
		edited("time: iat a year ahead", vecStale, `"iat":@+0@`, `"iat":@+31536000@`, "@+300@", "@+31536300@"),
		edited("time: nbf ahead by the skew", vecAccepted, `"nbf":@+0@`, `"nbf":@+30@`),
		edited("time: nbf ahead by a second more", vecStale, `"nbf":@+0@`, `"nbf":@+31@`),
		edited("time: nbf far ahead", vecStale, `"nbf":@+0@`, `"nbf":253402300799`),
		edited("time: nbf long ago", vecAccepted, `"nbf":@+0@`, `"nbf":0`),
		edited("time: the session is over", vecStale, "#+3600#", "#-1#"),
		edited("time: the session ends now", vecStale, "#+3600#", "#+0#"),
		edited("time: the session ends in a second", vecAccepted, "#+3600#", "#+1#"),
		edited("time: the session's end is missing", vecAccepted, `"expires_at":"#+3600#",`, ""),
		edited("time: the session's end is null", vecAccepted, `"#+3600#"`, "null"),
		edited("time: the session's end is no time", vecBadSession, "#+3600#", "tomorrow"),
		edited("time: the session's end is a number", vecBadClaim, `"#+3600#"`, "@+3600@"),
		edited("time: the session's end has no zone", vecBadSession, "#+3600#", "2100-01-01T00:00:00"),
	)
}

// identityVectors are of another issuer, audience or class of tokens.
func identityVectors() []vector {
	iss := func(name, want, value string) vector {
		return edited("issuer: "+name, want, `"stytch.com/PROJECT"`, value)
	}
	aud := func(name, want, value string) vector {
		return edited("audience: "+name, want, `["PROJECT"]`, value)
	}
	custom := func(v vector) vector { v.domain = true; v.name += " (custom domain)"; return v }
	const other = "project-test-11111111-1111-1111-1111-111111111111"
	return []vector{
		iss("another project", vecBadIssuer, `"stytch.com/`+other+`"`),
		iss("the live project", vecBadIssuer, `"stytch.com/`+strings.Replace(other, "test", "live", 1)+`"`),
		iss("begins like ours", vecBadIssuer, `"stytch.com/PROJECT-2"`),
		iss("ends like ours", vecBadIssuer, `"attacker.example/stytch.com/PROJECT"`),
		iss("cut short", vecBadIssuer, `"stytch.com/project-test-"`),
		iss("a slash at the end", vecBadIssuer, `"stytch.com/PROJECT/"`),
		iss("a space at the end", vecBadIssuer, `"stytch.com/PROJECT "`),
		iss("a NUL at the end", vecBadIssuer, `"stytch.com/PROJECT\u0000"`),
		iss("in capitals", vecBadIssuer, `"STYTCH.COM/PROJECT"`),
		iss("with a scheme", vecBadIssuer, `"https://stytch.com/PROJECT"`),
		iss("with a port", vecBadIssuer, `"stytch.com:443/PROJECT"`),
		iss("with a user", vecBadIssuer, `"stytch.com@attacker.example/PROJECT"`),
		iss("another host", vecBadIssuer, `"stytch.com.attacker.example/PROJECT"`),
		iss("the API host", vecBadIssuer, `"https://test.stytch.com"`),
		iss("a custom domain of somebody", vecBadIssuer, `"https://login.attacker.example"`),
		iss("empty", vecBadIssuer, `""`),
		iss("null", vecBadClaim, `null`),
		iss("number", vecBadClaim, `1`),
		iss("array", vecBadClaim, `["stytch.com/PROJECT"]`),
		iss("object", vecBadClaim, `{"stytch.com/PROJECT":1}`),
		edited("issuer: missing", vecBadIssuer, `"iss":"stytch.com/PROJECT",`, ""),
		edited("issuer: escaped, the same", vecAccepted, `"stytch.com/PROJECT"`, `"stytch.com\/PROJECT"`),
		custom(iss("the project", vecAccepted, `"stytch.com/PROJECT"`)),
		custom(iss("its own", vecAccepted, `"https://login.example.com"`)),
		custom(iss("a slash at the end", vecBadIssuer, `"https://login.example.com/"`)),
		custom(iss("no scheme", vecBadIssuer, `"login.example.com"`)),
		custom(iss("http", vecBadIssuer, `"http://login.example.com"`)),
		custom(iss("in capitals", vecBadIssuer, `"https://LOGIN.example.com"`)),
		custom(iss("with a path", vecBadIssuer, `"https://login.example.com/PROJECT"`)),
		custom(iss("a host that begins so", vecBadIssuer, `"https://login.example.com.attacker.example"`)),
		custom(iss("another's", vecBadIssuer, `"https://login.attacker.example"`)),

		aud("string", vecAccepted, `"PROJECT"`),
		aud("among others", vecAccepted, `["`+other+`","PROJECT"]`),
		aud("another project", vecBadAudience, `["`+other+`"]`),
		aud("string of another project", vecBadAudience, `"`+other+`"`),
		aud("begins like ours", vecBadAudience, `["PROJECT-2"]`),
		aud("ends like ours", vecBadAudience, `["x-PROJECT"]`),
		aud("a space at the end", vecBadAudience, `["PROJECT "]`),
		aud("a NUL at the end", vecBadAudience, `["PROJECT\u0000"]`),
		aud("joined with a comma", vecBadAudience, `"`+other+`,PROJECT"`),
		aud("a pattern", vecBadAudience, `["*"]`),
		aud("empty array", vecBadAudience, `[]`),
		aud("empty string", vecBadAudience, `""`), // CVE-2020-26160
		aud("array of an empty string", vecBadAudience, `[""]`),
		aud("null", vecBadClaim, `null`),
		aud("array of null", vecBadClaim, `[null]`),
		aud("number", vecBadClaim, `1`),
		aud("object", vecBadClaim, `{"PROJECT":true}`),
		aud("mixed types, ours first", vecBadClaim, `["PROJECT",1]`),
		aud("mixed types, ours last", vecBadClaim, `[null,"PROJECT"]`),
		aud("array in an array", vecBadClaim, `[["PROJECT"]]`),
		edited("audience: missing", vecBadAudience, `"aud":["PROJECT"],`, ""),

		edited("subject: missing", vecBadSubject, `,"sub":"USER"`, ""),
		edited("subject: empty", vecBadSubject, `"USER"`, `""`),
		edited("subject: null", vecBadClaim, `"USER"`, `null`),
		edited("subject: number", vecBadClaim, `"USER"`, `0`),
		edited("subject: array", vecBadClaim, `"USER"`, `["USER"]`),
		edited("subject: object", vecBadClaim, `"USER"`, `{"id":"USER"}`),
		edited("subject: false", vecBadClaim, `"USER"`, `false`),
	}
}

// sessionVectors are other tokens that the project's key signs, and damaged
// session claims.
func sessionVectors() []vector {
	const claims = `"exp":@+300@,"iat":@+0@,"nbf":@+0@`
	other := func(name, want, payload string) vector {
		return vector{name: "class: " + name, want: want, make: func(f *forge) string { return f.sign(corpusHeader, payload) }}
	}
	session := func(name, want, value string) vector {
		return vector{name: "session: " + name, want: want, make: func(f *forge) string {
			begin := strings.Index(corpusPayload, `"https://stytch.com/session":`) + len(`"https://stytch.com/session":`)
			end := strings.Index(corpusPayload, `,"iat"`)
			return f.sign(corpusHeader, corpusPayload[:begin]+value+corpusPayload[end:])
		}}
	}
	return []vector{
		other("M2M", vecBadSession, `{"aud":["PROJECT"],"iss":"stytch.com/PROJECT","sub":"m2m-client-test-1","scope":"read:users",`+claims+`}`),
		other("M2M that names a user", vecBadSession, `{"aud":["PROJECT"],"iss":"stytch.com/PROJECT","sub":"USER","client_id":"x",`+claims+`}`),
		other("Connected App", vecBadSession, `{"aud":["PROJECT"],"iss":"stytch.com/PROJECT","sub":"USER","client_id":"connected-app-test-1","scope":"openid profile","jti":"1",`+claims+`}`),
		other("ID token", vecBadAudience, `{"aud":["connected-app-test-1"],"iss":"stytch.com/PROJECT","sub":"USER","nonce":"n",`+claims+`}`),
		other("ID token that names the project too", vecBadSession, `{"aud":["connected-app-test-1","PROJECT"],"iss":"stytch.com/PROJECT","sub":"USER","nonce":"n",`+claims+`}`),
		{name: "class: M2M, as the project mints it", want: vecBadSession, make: func(f *forge) string {
			return f.project.MintJWT(f.session.ID, stytchtest.Mint{NoSessionClaim: true})
		}},
		session("null", vecBadSession, `null`),
		session("string", vecBadSession, `"SESSION"`),
		session("array", vecBadSession, `[{"id":"SESSION"}]`),
		session("number", vecBadSession, `1`),
		session("true", vecBadSession, `true`),
		session("empty object", vecBadSession, `{}`),
		session("a string that holds one", vecBadSession, `"{\"id\":\"SESSION\"}"`),
		session("only an id", vecAccepted, `{"id":"SESSION"}`),
		session("session_id for id", vecBadSession, `{"session_id":"SESSION"}`),
		session("empty id", vecBadSession, `{"id":""}`),
		session("id null", vecBadClaim, `{"id":null}`),
		session("id a number", vecBadClaim, `{"id":1}`),
		session("id an array", vecBadClaim, `{"id":["SESSION"]}`),
		session("factors an object", vecBadClaim, `{"id":"SESSION","authentication_factors":{}}`),
		session("factors a string", vecBadClaim, `{"id":"SESSION","authentication_factors":"sms"}`),
		session("factors of strings", vecBadClaim, `{"id":"SESSION","authentication_factors":["sms","email"]}`),
		session("factors null", vecAccepted, `{"id":"SESSION","authentication_factors":null}`),
		session("a factor's type a number", vecBadClaim, `{"id":"SESSION","authentication_factors":[{"type":1}]}`),
		session("roles a string", vecBadClaim, `{"id":"SESSION","roles":"admin"}`),
		session("roles of numbers", vecBadClaim, `{"id":"SESSION","roles":[1]}`),
		session("attributes an array", vecBadClaim, `{"id":"SESSION","attributes":[]}`),
		session("custom_claims a string", vecBadSession, `{"id":"SESSION","custom_claims":"x"}`),
		session("a user of its own", vecAccepted, `{"id":"SESSION","user_id":"user-test-admin"}`),
		session("a member of its own", vecAccepted, `{"id":"SESSION","member_id":"member-test-admin","organization_id":"organization-test-1"}`),
		edited("organization: string", vecBadOrg, `"iat"`, `"https://stytch.com/organization":"organization-test-1","iat"`),
		edited("organization: null", vecBadOrg, `"iat"`, `"https://stytch.com/organization":null,"iat"`),
		edited("organization: without an id", vecBadOrg, `"iat"`, `"https://stytch.com/organization":{"slug":"x"},"iat"`),
		edited("organization: id a number", vecBadClaim, `"iat"`, `"https://stytch.com/organization":{"organization_id":1},"iat"`),
	}
}

func sizeVectors() []vector {
	// sized is a well-signed token of exactly n bytes.
	sized := func(n int) func(*forge) string {
		return func(f *forge) string {
			for pad := range 4 {
				header := strings.Replace(corpusHeader, "{", "{"+strings.Repeat(" ", pad), 1)
				h := corpusSegment(f.fill(header))
				want := n - len(h) - len(".") - len(".") - 342
				body := f.fill(corpusPayload)
				fixed := len(body) + len(`"pad":"",`)
				size := want * 3 / 4
				if base64.RawURLEncoding.EncodedLen(size) != want || size < fixed {
					continue
				}
				return f.signSegments(corpusKey(), h, corpusSegment(strings.Replace(body, "{", `{"pad":"`+strings.Repeat("x", size-fixed)+`",`, 1)))
			}
			panic("no such size")
		}
	}
	members := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"%x":1,`, i)
		}
		return b.String()
	}
	return []vector{
		{name: "size: 16 KiB less one", want: vecAccepted, make: sized(16<<10 - 1)},
		{name: "size: 16 KiB", want: vecAccepted, make: sized(16 << 10)},
		{name: "size: 16 KiB and one", want: vecMalformed, make: sized(16<<10 + 1)},
		{name: "size: 1 MiB", want: vecMalformed, make: sized(1 << 20)},
		{name: "size: 1 MiB of dots", want: vecMalformed, make: func(*forge) string { return strings.Repeat(".", 1<<20) }},
		{name: "size: 512 letters", want: vecOpaque, make: func(*forge) string { return strings.Repeat("x", 512) }},
		{name: "size: 513 letters", want: vecMalformed, make: func(*forge) string { return strings.Repeat("x", 513) }},
		edited("size: 1,000 members", vecAccepted, `"sub"`, members(1000)+`"sub"`),
		edited("size: 5,000 members", vecMalformed, `"sub"`, members(5000)+`"sub"`),
		edited("size: 2,000 elements", vecAccepted, `"sub"`, `"x":[1`+strings.Repeat(",1", 1999)+`],"sub"`),
		edited("size: 500 factors", vecAccepted, `"authentication_factors":[`, `"authentication_factors":[`+strings.Repeat("{},", 500)),
		edited("depth: 32", vecAccepted, `"sub"`, `"x":`+nested(31)+`,"sub"`),
		edited("depth: 33", vecBadPayload, `"sub"`, `"x":`+nested(32)+`,"sub"`),
		edited("depth: 33 of objects", vecBadPayload, `"sub"`, `"x":`+strings.Repeat(`{"x":`, 32)+"1"+strings.Repeat("}", 32)+`,"sub"`),
		edited("depth: 5,000", vecBadPayload, `"sub"`, `"x":`+nested(5000)+`,"sub"`),
		edited("depth: 10,000 that never close", vecBadPayload, `"sub"`, `"x":`+strings.Repeat("[", 10000)+`,"sub"`),
		edited("depth: 32 in the session", vecAccepted, `"roles"`, `"x":`+nested(30)+`,"roles"`),
		edited("depth: 33 in the session", vecBadPayload, `"roles"`, `"x":`+nested(31)+`,"roles"`),
		edited("number: 1e999999", vecAccepted, `"sub"`, `"x":1e999999,"sub"`),
		edited("number: 8,000 digits", vecAccepted, `"sub"`, `"x":`+strings.Repeat("9", 8000)+`,"sub"`),
	}
}

func jsonVectors() []vector {
	whole := func(name, want, payload string) vector {
		return vector{name: "json: " + name, want: want, make: func(f *forge) string { return f.sign(corpusHeader, payload) }}
	}
	claim := func(name, want, value string) vector {
		return edited("json: "+name, want, `"sub"`, `"x":`+value+`,"sub"`)
	}
	return []vector{
		whole("array", vecBadClaim, `[]`),
		whole("array around it", vecBadClaim, `[`+corpusPayload+`]`),
		whole("string", vecBadClaim, `"USER"`),
		whole("null", vecBadClaim, `null`),
		whole("number", vecBadClaim, `1`),
		whole("empty object", vecBadIssuer, `{}`),
		whole("text", vecBadPayload, `hello`),
		whole("a token", vecBadPayload, `eyJhbGciOiJSUzI1NiJ9.e30.AAAA`),
		whole("two objects", vecBadPayload, corpusPayload+corpusPayload),
		whole("an object after it", vecBadPayload, corpusPayload+`{"sub":"user-test-admin"}`),
		whole("rubbish after it", vecBadPayload, corpusPayload+"x"),
		whole("NUL after it", vecBadPayload, corpusPayload+"\x00"),
		whole("white space around", vecAccepted, "\n "+corpusPayload+"\r\n\t "),
		whole("form feed before it", vecBadPayload, "\f"+corpusPayload),
		whole("a byte-order mark", vecBadPayload, "\ufeff"+corpusPayload),
		whole("UTF-16", vecBadPayload, "{\x00"+strings.TrimPrefix(corpusPayload, "{")),
		whole("cut off", vecBadPayload, strings.TrimSuffix(corpusPayload, "}")),
		whole("a comma too many", vecBadPayload, strings.TrimSuffix(corpusPayload, "}")+",}"),
		whole("a comment", vecBadPayload, strings.Replace(corpusPayload, "{", "{/* */", 1)),
		whole("single quotes", vecBadPayload, strings.ReplaceAll(corpusPayload, `"`, `'`)),
		whole("a name without quotes", vecBadPayload, strings.Replace(corpusPayload, `"aud"`, `aud`, 1)),
		claim("not UTF-8", vecBadPayload, "\"\xff\""),
		claim("overlong UTF-8", vecBadPayload, "\"\xc0\xaf\""),
		claim("a surrogate in UTF-8", vecBadPayload, "\"\xed\xa0\x80\""),
		claim("beyond Unicode", vecBadPayload, "\"\xf4\x90\x80\x80\""),
		claim("a character cut off", vecBadPayload, "\"\xe2\x82\""),
		claim("a lone high surrogate", vecBadPayload, `"\ud800"`),
		claim("a lone low surrogate", vecBadPayload, `"\udc00"`),
		claim("surrogates the wrong way round", vecBadPayload, `"\udc00\ud800"`),
		claim("a surrogate pair", vecAccepted, `"\ud83d\ude00"`),
		claim("a raw line break", vecBadPayload, "\"\n\""),
		claim("a raw NUL", vecBadPayload, "\"\x00\""),
		claim("an unknown escape", vecBadPayload, `"\x41"`),
		claim("an escape cut off", vecBadPayload, `"\u00"`),
		claim("True", vecBadPayload, `True`),
		claim("undefined", vecBadPayload, `undefined`),
		claim("no value", vecBadPayload, ``),
		edited("json: not UTF-8 in a name", vecBadPayload, `"sub"`, "\"a\xff\":1,\"sub\""),
		edited("json: a lone surrogate in a name", vecBadPayload, `"sub"`, `"\ud800":1,"sub"`),
		edited("json: not UTF-8 in the subject", vecBadPayload, "USER", "USER\xff"),
		edited("json: a lone surrogate in the subject", vecBadPayload, "USER", `USER\ud800`),
		edited("json: not UTF-8 in the session's id", vecBadPayload, "SESSION", "SESSION\xff"),
	}
}
