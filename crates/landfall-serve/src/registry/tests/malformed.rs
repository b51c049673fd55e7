//! Requests that no client sends: sound ones with some of their parts exchanged at random for what the registry
//! reads elsewhere, whole and broken. The registry may do what they ask for and may refuse them, in its form. It
//! never fails.

use super::*;

const REQUESTS: usize = 3_000;

/// Method, place, query, header, body.
type Sound = (&'static str, &'static str, &'static str, Option<(&'static str, &'static str)>, &'static str);

/// Sound requests. `HELLO` is the digest of `hello`.
const SOUND: &[Sound] = &[
    ("POST", "blobs/uploads/", "", None, ""),
    ("POST", "blobs/uploads/", "digest=HELLO", None, "hello"),
    ("PATCH", "blobs/uploads/UPLOAD", "", Some(("content-range", "0-4")), "hello"),
    ("PATCH", "blobs/uploads/UPLOAD", "", None, "hello"),
    ("PUT", "blobs/uploads/UPLOAD", "digest=HELLO", None, ""),
    ("PUT", "blobs/uploads/UPLOAD", "digest=HELLO", None, "hello"),
    ("GET", "blobs/uploads/UPLOAD", "", None, ""),
    ("DELETE", "blobs/uploads/UPLOAD", "", None, ""),
    ("GET", "blobs/HELLO", "", Some(("range", "bytes=1-2")), ""),
    ("GET", "blobs/HELLO", "", Some(("if-none-match", "*")), ""),
    ("HEAD", "blobs/HELLO", "", None, ""),
    ("PUT", "manifests/v1", "", None, INDEX),
    ("GET", "manifests/v1", "", Some(("accept", "application/vnd.oci.image.index.v1+json")), ""),
    ("GET", "tags/list", "n=1", None, ""),
    ("GET", "referrers/HELLO", "artifactType=a", None, ""),
    ("DELETE", "manifests/v1", "", None, ""),
];

const INDEX: &str = r#"{"schemaVersion":2,"manifests":[]}"#;
const HELLO: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"];
const NAMES: &[&str] = &["team/locked", "team/none", "a", "A", "..", "team//api", "%ff", "tags/list", "x y"];
const PLACES: &[&str] = &[
    "manifests/REFERENCE",
    "blobs/REFERENCE",
    "blobs/uploads/",
    "blobs/uploads/UPLOAD",
    "tags/list",
    "referrers/REFERENCE",
    "manifests/",
    "blobs/uploads/UPLOAD/UPLOAD",
    "tags/REFERENCE",
];
const REFERENCES: &[&str] = &[
    "v1",
    "latest",
    "-v1",
    "",
    "sha256:",
    "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    "sha256:2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824",
    "sha512:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    "md5:5d41402abc4b2a76b9719d911017c592",
    "sha256%3A2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    ":",
    "%00",
];
const QUERIES: &[&str] = &[
    "digest=REFERENCE",
    "digest-algorithm=sha512",
    "digest-algorithm=md5",
    "mount=REFERENCE&from=team/api",
    "mount=REFERENCE&from=..",
    "mount=REFERENCE",
    "n=0",
    "n=1",
    "n=-1",
    "n=99999999999999999999999",
    "last=REFERENCE",
    "artifactType=%ff",
    "artifactType=a%2Bb",
    "tag=v1&tag=",
    "tag=REFERENCE",
    "=",
    "&&&",
];
const HEADERS: &[(&str, &[&str])] = &[
    (
        "content-range",
        &[
            "0-4",
            "5-9",
            "4-0",
            "0-",
            "-",
            "bytes 0-4/5",
            "0-18446744073709551615",
            "18446744073709551615-0",
            "a-b",
        ],
    ),
    ("content-length", &["0", "5", "6", "-1", "99999999999999999999", "five"]),
    (
        "range",
        &[
            "bytes=0-",
            "bytes=-1",
            "bytes=-0",
            "bytes=4-2",
            "bytes=99-",
            "bytes=0-1,3-4",
            "bytes=0-18446744073709551615",
            "bytes=-18446744073709551616",
            "lines=1-2",
            "bytes=",
        ],
    ),
    (
        "content-type",
        &["application/vnd.oci.image.manifest.v1+json", "text/plain", ";", "application/json; charset"],
    ),
    ("accept", &["*/*", ",,;q=,", "application/vnd.docker.distribution.manifest.v2+json"]),
    ("if-none-match", &["*", "\"\"", "W/", ",", "\"sha256:2cf2\""]),
    ("if-range", &["\"", "Sat, 29 Oct 1994 19:43:31 GMT"]),
    ("expect", &["100-continue"]),
];
const BODIES: &[&str] = &[
    "",
    "hello",
    "{}",
    "[]",
    "{",
    "null",
    r#"{"schemaVersion":2}"#,
    r#"{"schemaVersion":2,"manifests":[]}"#,
    r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","size":-1,"mediaType":"x"}]}"#,
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"x","digest":"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","size":5},"layers":null,"subject":{"mediaType":"x","digest":"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","size":18446744073709551615}}"#,
    r#"{"schemaVersion":2,"mediaType":7,"layers":{},"config":[]}"#,
    "\u{0}\u{1}",
];

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        // <https://en.wikipedia.org/wiki/Xorshift#xorshift*>
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % sides
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.throw(choices.len())]
    }
}

#[tokio::test]
async fn thousands_of_malformed_requests_are_answered_in_form_in_both_modes() {
    for mode in [RegistryMode::Ecr, RegistryMode::StrictOci] {
        let test = testing::world_with(mode);
        testing::repository(&test.world, "team/api", false, None);
        testing::repository(&test.world, "team/locked", true, None);
        let login = testing::registry_authorization(&test.world, &testing::root(), testing::REGION);
        let mut dice = Dice(20_261_127);
        let mut uploads = vec!["none".to_owned()];
        let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
        for number in 0..REQUESTS {
            let Some(request) = request(&mut dice, &login, &uploads) else { continue };
            let shown = format!("{number}: {} {} {:?}", request.method(), request.uri(), request.headers());
            let response = handle(&test.world, request, &testing::connection(), "test-request").await;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            *statuses.entry(parts.status.as_u16()).or_default() += 1;
            assert!(parts.status.as_u16() < 500, "{shown}: {} {body:?}", parts.status);
            assert_eq!(parts.headers["docker-distribution-api-version"], "registry/2.0", "{shown}");
            if parts.status.as_u16() >= 400 {
                let error: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let code = error["errors"][0]["code"].as_str().unwrap();
                assert!(landfall_wire::oci::CODES.iter().any(|known| known.name == code), "{shown}: {code}");
            }
            if let Some(upload) = parts.headers.get("docker-upload-uuid") {
                uploads.push(upload.to_str().unwrap().to_owned());
            }
        }
        // It went everywhere: content was stored and read, and refused for each kind of reason.
        let met: Vec<u16> = statuses.into_keys().collect();
        for status in [200, 201, 202, 204, 206, 304, 400, 404, 405, 416] {
            assert!(met.contains(&status), "{mode:?}: nothing was answered with {status}, only {met:?}");
        }
    }
}

/// A request; none when no client could send it.
fn request(dice: &mut Dice, login: &str, uploads: &[String]) -> Option<Request<Body>> {
    let (mut method, mut place, query, header, mut body) = dice.pick(SOUND);
    let (mut name, mut queries) = ("team/api", vec![query]);
    let mut headers: Vec<(&str, &str)> = header.into_iter().collect();
    for _ in 0..dice.throw(3) {
        match dice.throw(6) {
            0 => method = dice.pick(METHODS),
            1 => name = dice.pick(NAMES),
            2 => place = dice.pick(PLACES),
            3 => queries.push(dice.pick(QUERIES)),
            4 => {
                let (name, values) = dice.pick(HEADERS);
                headers.push((name, dice.pick(values)));
            }
            _ => body = dice.pick(BODIES),
        }
    }
    let mut text = format!("/v2/{name}/{place}?{}", queries.join("&")).replace("HELLO", HELLO);
    while text.contains("REFERENCE") {
        text = text.replacen("REFERENCE", dice.pick(REFERENCES), 1);
    }
    while text.contains("UPLOAD") {
        // One that is open still, more often than not.
        let recent = uploads.len().saturating_sub(1 + dice.throw(3));
        text = text.replacen("UPLOAD", uploads.get(recent).map_or("none", String::as_str), 1);
    }
    let mut request = Request::builder().method(method).uri(text).header(header::HOST, "127.0.0.1:4566");
    request = request.header(header::AUTHORIZATION, login);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(Body::from(body)).ok()
}
