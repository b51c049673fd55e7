"""AWS as its clients see it: boto3, and requests that are signed by hand."""

import datetime
import hashlib
import hmac
import json
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree

import shapes
from harness import REGION, ROLE, SERVER_SECONDS_MAX, Skip, until

try:
    import boto3
    import botocore.config
    import botocore.exceptions
except ImportError:
    boto3 = None

STS = "{https://sts.amazonaws.com/doc/2011-06-15/}"


def client(bench, service, credentials=None, region=REGION):
    """A boto3 client without retries. Credentials: (key, secret) or (key, secret, token); None for none."""
    if boto3 is None:
        raise Skip("boto3 is not installed")
    session = boto3.session.Session()
    # Some operations of CloudWatch Logs put a word before the host, which has no other name here.
    config = {"retries": {"total_max_attempts": 1}, "parameter_validation": False, "inject_host_prefix": False, "read_timeout": SERVER_SECONDS_MAX}
    if credentials is None:
        config["signature_version"] = botocore.UNSIGNED
        credentials = (None, None)
    key, secret, *token = credentials
    client = session.client(
        service,
        endpoint_url=bench.server.url,
        region_name=region,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token[0] if token else None,
        config=botocore.config.Config(**config),
    )
    return shapes.watch(client)


def refusal(call, **arguments):
    """Makes a call that has to be refused: (code, message, status, request id)."""
    try:
        answer = call(**arguments)
    except botocore.exceptions.ClientError as error:
        metadata = error.response["ResponseMetadata"]
        fault = error.response["Error"]
        return fault["Code"], fault["Message"], metadata["HTTPStatusCode"], metadata.get("RequestId")
    raise AssertionError(f"this was allowed: {call.__name__} {arguments}: {answer}")


def exchange(bench, token, role=ROLE, name="reader"):
    """A session for a token: (key, secret, session token), by boto3."""
    answer = client(bench, "sts").assume_role_with_web_identity(
        RoleArn=role, RoleSessionName=name, WebIdentityToken=token
    )
    given = answer["Credentials"]
    return given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]


class Answer:
    """An HTTP answer, whatever its status."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def text(self):
        return self.body.decode()

    def fault(self):
        """The error of an answer of the Query protocol: (code, message)."""
        tree = xml.etree.ElementTree.fromstring(self.body)
        namespace = tree.tag.partition("}")[0] + "}"
        error = tree.find(f"{namespace}Error")
        return error.findtext(f"{namespace}Code"), error.findtext(f"{namespace}Message")


def http(url, method="GET", body=None, headers=None):
    """A request without a library that could help."""
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=SERVER_SECONDS_MAX) as response:
            return Answer(response)
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error)


def answers(url):
    """The text that a server answers, which may have begun a moment ago and not listen yet."""

    def ask():
        try:
            return http(url).text()
        except OSError as error:
            return error

    return until(ask, lambda answer: isinstance(answer, str))


def decisions(server, after=0, **filters):
    """Records of the decision log that came after this one."""
    query = urllib.parse.urlencode({"after": after, **filters})
    return [json.loads(line) for line in http(f"{server.url}/_landfall/decisions?{query}").text().splitlines()]


def form(bench, **fields):
    """An unsigned request of the Query protocol."""
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    return http(bench.server.url + "/", "POST", urllib.parse.urlencode(fields).encode(), headers)


def signed(bench, service, body, credentials, now=None, scope=None, headers=None, region=REGION):
    """A request that is signed as the AWS documentation describes it, at any time and for any scope."""
    now = now or datetime.datetime.now(datetime.timezone.utc)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    key, secret, *token = credentials
    sent = {"host": bench.server.address, "x-amz-date": stamp} | (headers or {})
    if token:
        sent["x-amz-security-token"] = token[0]
    names = ";".join(sorted(sent))
    listed = "".join(f"{name}:{sent[name]}\n" for name in sorted(sent))
    canonical = "\n".join(["POST", "/", "", listed, names, hashlib.sha256(body).hexdigest()])
    scope = scope or f"{day}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    signing = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        signing = hmac.new(signing, part.encode(), "sha256").digest()
    signature = hmac.new(signing, text.encode(), "sha256").hexdigest()
    sent["authorization"] = f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return http(bench.server.url + "/", "POST", body, sent)
