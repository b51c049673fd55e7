"""Thousands of broken requests in each protocol: none is answered with a failure of the server, and none leaves
anything behind. What is broken is chosen by a seed that is printed when something is wrong.
"""

import base64
import http.client
import json
import os
import pathlib
import random
import re
import socket
import urllib.error
import urllib.request
import xml.etree.ElementTree

import aws
from harness import ACCOUNT, REGION, SERVER_SECONDS_MAX, Server, Skip, Wrong, check, same, until

SEED = int(os.environ.get("LANDFALL_SEED", "20261127"))
# Requests of each protocol.
COUNT = int(os.environ.get("LANDFALL_REQUESTS", "1000"))
ROOT = ("test", "test")
# Files that may be open afterwards and weren't before: the log's, and what the runtime keeps.
FILES_MORE_MAX = 4
# By how much more memory the server may hold at the end, in kilobytes: what the requests have made, and the allocator's keep.
MEMORY_MORE_KB_MAX = 24_000
PIECES = [b"", b"\x00", b"\xff\xfe", b"%", b"%zz", b"%00", b"&", b"=", b"{", b"[" * 600, b'{"a":' * 300, b'"', b"\\u", b"\\ud800",
          b"1e999", b"-1", b"99999999999999999999999", b"null", b"true", b"A" * 5000, "é😀".encode(), b"../", b"//", b"?", b"#", b"\r\n",
          b"sha256:", b"sha512:" + b"0" * 128, b"bytes=0-", b"18446744073709551615", b"arn:aws:iam::", b"*", b"${", b"member.1", b".member.999999"]
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole", "Condition": {"StringLike": {"aws:PrincipalTag/a": ["b*", "c"]}}}]})
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + "0" * 64, "size": 1}], "annotations": {"a": "b"}})
QUERIES = [
    "Action=CreateRole&Version=2010-05-08&RoleName=broken&Tags.member.1.Key=a&Tags.member.1.Value=b&AssumeRolePolicyDocument=" + TRUST,
    "Action=SimulateCustomPolicy&Version=2010-05-08&ActionNames.member.1=s3:Get&PolicyInputList.member.1=" + TRUST + "&ContextEntries.member.1.ContextKeyName=a",
    "Action=ListRoles&Version=2010-05-08&MaxItems=2&Marker=abc&PathPrefix=/",
    "Action=UpdateOpenIDConnectProviderThumbprint&Version=2010-05-08&OpenIDConnectProviderArn=arn:aws:iam::1:oidc-provider/a&ThumbprintList.member.1=" + "a" * 40,
    f"Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::{ACCOUNT}:role/a&RoleSessionName=b&DurationSeconds=900&Tags.member.1.Key=a&Tags.member.1.Value=b&Policy={TRUST}",
    "Action=GetFederationToken&Version=2011-06-15&Name=guest&Policy={}&PolicyArns.member.1.arn=arn:aws:iam::aws:policy/ReadOnlyAccess",
    "Action=DecodeAuthorizationMessage&Version=2011-06-15&EncodedMessage=AAAA",
]
JSON = [
    ("ecr", "AmazonEC2ContainerRegistry_V20150921.CreateRepository", {"repositoryName": "broken/one", "tags": [{"Key": "a", "Value": "b"}], "imageTagMutability": "IMMUTABLE"}),
    ("ecr", "AmazonEC2ContainerRegistry_V20150921.PutLifecyclePolicy", {"repositoryName": "web", "lifecyclePolicyText": '{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]}'}),
    ("ecr", "AmazonEC2ContainerRegistry_V20150921.PutImage", {"repositoryName": "web", "imageManifest": MANIFEST, "imageTag": "v1"}),
    ("ecr", "AmazonEC2ContainerRegistry_V20150921.UploadLayerPart", {"repositoryName": "web", "uploadId": "a", "partFirstByte": 0, "partLastByte": 2, "layerPartBlob": "YWJj"}),
    ("ecr", "AmazonEC2ContainerRegistry_V20150921.DescribeImages", {"repositoryName": "web", "imageIds": [{"imageTag": "v1"}], "maxResults": 3, "nextToken": "MQ"}),
    ("ecr", "AmazonEC2ContainerRegistry_V20150921.PutReplicationConfiguration", {"replicationConfiguration": {"rules": [{"destinations": [{"region": "us-west-2", "registryId": ACCOUNT}]}]}}),
    ("ecr-public", "SpencerFrontendService.DescribeRepositories", {"registryId": ACCOUNT, "maxResults": 3}),
    ("ecs", "AmazonEC2ContainerServiceV20141113.RegisterTaskDefinition", {"family": "broken", "containerDefinitions": [{"name": "web", "image": "nginx", "memory": 64, "portMappings": [{"containerPort": 80}]}]}),
    ("ecs", "AmazonEC2ContainerServiceV20141113.CreateService", {"serviceName": "broken", "taskDefinition": "broken", "desiredCount": 1, "deploymentConfiguration": {"maximumPercent": 200}}),
    ("ecs", "AmazonEC2ContainerServiceV20141113.RunTask", {"taskDefinition": "broken", "count": 1, "overrides": {"containerOverrides": [{"name": "web"}]}}),
]
REST = [
    ("eks-auth", "POST", "/clusters/c/assume-role-for-pod-identity", {"token": "a.b.c"}),
    ("eks", "GET", "/clusters/c/pod-identity-associations?maxResults=1", None),
    ("eks", "POST", "/clusters/c/pod-identity-associations", {"namespace": "a", "serviceAccount": "b", "roleArn": f"arn:aws:iam::{ACCOUNT}:role/a"}),
    ("eks", "DELETE", "/clusters/c/pod-identity-associations/a-1", None),
]
BLOB = "sha256:" + "0" * 64
REGISTRY = [
    ("GET", "/v2/web/manifests/v1", {"accept": "application/vnd.oci.image.index.v1+json"}, b""),
    ("PUT", "/v2/web/manifests/v1", {"content-type": "application/vnd.oci.image.index.v1+json"}, MANIFEST.encode()),
    ("GET", f"/v2/web/blobs/{BLOB}", {"range": "bytes=0-3"}, b""),
    ("POST", f"/v2/web/blobs/uploads/?mount={BLOB}&from=other", {}, b""),
    ("PATCH", "/v2/web/blobs/uploads/UPLOAD", {"content-range": "0-4", "content-type": "application/octet-stream"}, b"01234"),
    ("PUT", f"/v2/web/blobs/uploads/UPLOAD?digest={BLOB}", {"content-range": "5-9"}, b"56789"),
    ("GET", "/v2/web/tags/list?n=2&last=a", {}, b""),
    ("GET", f"/v2/web/referrers/{BLOB}?artifactType=a", {}, b""),
    ("GET", "/v2/_catalog?n=1", {}, b""),
]
WHOLE = b"POST / HTTP/1.1\r\nHost: a\r\nAuthorization: AWS4-HMAC-SHA256 Credential=test/20261127/us-east-1/sts/aws4_request, SignedHeaders=host;x-amz-date, Signature=00\r\nX-Amz-Date: 20261127T000000Z\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 43\r\n\r\nAction=GetCallerIdentity&Version=2011-06-15"


def broken(chance, data):
    """The same with one to four things wrong."""
    data = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(data))
        to = min(len(data), at + chance.choice([0, 1, 1, 4, 30]))
        match chance.randrange(5):
            case 0:
                data[at:to] = chance.choice(PIECES)
            case 1:
                data[at:at] = data[chance.randint(0, len(data)) :][:200]
            case 2:
                del data[at:]
            case 3:
                del data[at:to]
            case _:
                data[at:to] = bytes(chance.randrange(256) for _ in range(to - at))
    return bytes(data)


def readable(data):
    """What can be sent as a header or a path: what it can't be is told before it is sent."""
    text = data.decode("latin-1")
    return "".join(c for c in text if c not in "\r\n\0")[:6000]


def path_of(data):
    text = readable(data)
    return "/" + "".join(c if "!" <= c <= "~" else f"%{ord(c):02x}" for c in text).lstrip("/")


class Server5xx(Wrong):
    pass


class Attack:
    """One connection to a server, and what it may answer."""

    def __init__(self, server, name):
        self.server, self.name, self.number = server, name, 0
        self.chance = random.Random(f"{SEED} {name}")
        self.connection, self.statuses = None, {}

    def send(self, method, path, body, headers):
        self.number += 1
        for fresh in (False, True):
            if self.connection is None or fresh:
                self.connection = http.client.HTTPConnection(self.server.address, timeout=SERVER_SECONDS_MAX)
            try:
                self.connection.request(method, path, body, headers)
                answer = self.connection.getresponse()
                answer.body = answer.read()
                break
            except (http.client.HTTPException, ConnectionError, OSError) as error:
                # A connection that was closed after the last answer is no news.
                self.connection.close()
                if fresh:
                    raise Wrong(f"{self.name} number {self.number} of seed {SEED}: no answer: {error!r}") from None
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        if answer.status >= 500:
            shown = f"{method} {path[:300]}\n{headers}\n{body[:600] if body else ''}\n{answer.status} {answer.body[:300]}"
            raise Server5xx(f"{self.name} number {self.number} of seed {SEED}:\n{shown}")
        return answer

    def signed(self, method, path, service, body, headers):
        """Sends a request whose signature is right, so that what is broken is reached."""
        self.send(method, path, body, sign(self.server, method, path, service, body, headers))


def sign(server, method, path, service, body, headers):
    """Headers of a request that is signed by botocore, as they are."""
    import botocore.auth
    import botocore.awsrequest
    import botocore.credentials

    keys = botocore.credentials.Credentials(*ROOT)
    request = botocore.awsrequest.AWSRequest(method, f"{server.url}{path}", data=body, headers=dict(headers))
    botocore.auth.SigV4Auth(keys, service, REGION).add_auth(request)
    return dict(request.headers)


def query(attack):
    seed = attack.chance.choice(QUERIES).encode()
    service = "sts" if b"2011-06-15" in seed else "iam"
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    attack.signed("POST", "/", service, broken(attack.chance, seed), headers)


def json_rpc(attack):
    service, target, members = attack.chance.choice(JSON)
    if attack.chance.random() < 0.1:
        target = readable(broken(attack.chance, target.encode())).encode("ascii", "replace").decode().strip() or "x"
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": target}
    attack.signed("POST", "/", service, broken(attack.chance, json.dumps(members).encode()), headers)


def rest_json(attack):
    service, method, path, members = attack.chance.choice(REST)
    if attack.chance.random() < 0.5:
        path = path_of(broken(attack.chance, path.encode()))
    body = broken(attack.chance, json.dumps(members).encode()) if members else b""
    attack.signed(method, path.partition("#")[0], service, body, {"content-type": "application/json"})


def registry(attack):
    method, path, headers, body = attack.chance.choice(REGISTRY)
    path = path.replace("UPLOAD", attack.upload)
    headers = dict(headers) | {"authorization": attack.login}
    kind = attack.chance.randrange(4)
    if kind == 0:
        path = path_of(broken(attack.chance, path.encode()))
    elif kind == 1:
        body = broken(attack.chance, body)
    elif kind == 2:
        name = attack.chance.choice(sorted(headers))
        headers[name] = readable(broken(attack.chance, headers[name].encode())).strip()
    else:
        method = attack.chance.choice(["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "BREW"])
    answer = attack.send(method, path.partition("#")[0], body, headers)
    place = answer.headers.get("location", "")
    if "/blobs/uploads/" in place and answer.status == 202 and attack.upload not in place:
        # One that was begun in earnest is not left open.
        attack.send("DELETE", place.removeprefix(attack.server.url), b"", {"authorization": attack.login})


def whole(attack):
    """Anything at all, on a connection of its own: an answer that is no failure, or none."""
    attack.number += 1
    host, _, port = attack.server.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=SERVER_SECONDS_MAX) as connection:
        answer = b""
        try:
            connection.sendall(broken(attack.chance, WHOLE))
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(4096)
        except TimeoutError:
            raise Wrong(f"{attack.name} number {attack.number} of seed {SEED}: neither an answer nor an end") from None
        except OSError:
            # The server has let go before all of it was there.
            pass
    if answer.startswith(b"HTTP/1.1 5"):
        raise Server5xx(f"{attack.name} number {attack.number} of seed {SEED}: {answer[:300]}")


def open_files(server):
    return len(list(pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir()))


def threads(server):
    return len(list(pathlib.Path(f"/proc/{server.process.pid}/task").iterdir()))


def memory_kb(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def begin(bench, attack):
    """A repository, a login and one upload to go on with."""
    ecr = aws.client(bench, "ecr", ROOT)
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    same(base64.b64decode(token)[:4], b"AWS:")
    attack.login = f"Basic {token}"
    begun = attack.send("POST", "/v2/web/blobs/uploads/", b"", {"authorization": attack.login})
    attack.upload = begun.headers["location"].rpartition("/")[2]


def settled(server, before):
    """Waits until the server has let go of what has ended."""
    until(lambda: {"open files": open_files(server), "before": before}, lambda now: now["open files"] <= before + FILES_MORE_MAX)


@check("thousands of broken requests in every protocol fail nobody but their senders, and leave nothing behind")
def _(bench):
    if not pathlib.Path("/proc/self/fd").is_dir():
        raise Skip("open files are counted in /proc")
    server = Server(bench, "--infra", "examples/github-ecr/infra", "--offline")
    main, bench.server = bench.server, server
    try:
        strike(bench, server)
    finally:
        bench.server = main
        server.stop()


def strike(bench, server):
    attacks = [Attack(server, kind.__name__) for kind in (query, json_rpc, rest_json, registry, whole)]
    begin(bench, attacks[3])
    # The first round warms up: threads, the log, connections.
    for number in range(COUNT):
        if number == COUNT // 10:
            files, tasks, memory = open_files(server), threads(server), memory_kb(server)
        for kind, attack in zip((query, json_rpc, rest_json, registry, whole), attacks, strict=True):
            kind(attack)
    settled(server, files)
    same(threads(server) <= tasks + 2, True, f"{threads(server)} threads, {tasks} before")
    more = memory_kb(server) - memory
    same(more <= MEMORY_MORE_KB_MAX, True, f"{more} kB more are held, {memory} kB before")
    same(server.process.poll(), None, "exit code")
    who = aws.client(bench, "sts", ROOT).get_caller_identity()
    same(who["Arn"], f"arn:aws:iam::{ACCOUNT}:root")
    for attack in attacks[:4]:
        # Most of them have to come further than the door.
        shut = sum(attack.statuses.get(status, 0) for status in (401, 403))
        same(shut < COUNT // 2, True, f"{attack.name}: {attack.statuses}")


# What would clear the screen, set the title, and look like a decision that allows.
HOSTILE = [
    f"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=ab&WebIdentityToken=aaaa.bbbb&RoleArn=arn:aws:iam::{ACCOUNT}:role/x%1B%5B2J%0A12:00:00+%E2%9C%93+sts:AssumeRole++role/admin",
    "Action=X%1B]0;title%07%C2%9B2J%E2%80%AE&Version=2011-06-15",
]


@check("what strangers send is one line of the log that `serve` prints, and moves nothing on the terminal")
def _(bench):
    with bench.start(bench.landfall, "serve", "--addr", "127.0.0.1:0", "--offline", env=bench.environment(CLICOLOR_FORCE="1", DOCKER_HOST=f"unix://{bench.dir}/no-engine")) as serve:
        url = serve.says("export AWS_ENDPOINT_URL=").strip().rpartition("=")[2]
        for body in HOSTILE:
            try:
                urllib.request.urlopen(url, body.encode(), timeout=SERVER_SECONDS_MAX)
                raise Wrong("it was answered as if it were right")
            except urllib.error.HTTPError as error:
                # What XML can't hold is not in it.
                xml.etree.ElementTree.fromstring(error.read())
        serve.says("sts:X")
        lines = serve.said.split("\n")
    log = lines[next(number for number, line in enumerate(lines) if "sts:Assume" in line):]
    left = [line for line in log if re.search(r"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0b-\x1a\x7f-\x9f\u202e]", line)]
    same(left, [], "control characters of others")
    same([line for line in log if re.search(r"^\W*12:00:00", line)], [], "a line that pretends to be a decision")
