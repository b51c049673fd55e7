"""Every signed call is verified: wrong secrets, unknown keys, clocks that are off, calls meant for others."""

import datetime
import json

import aws
from harness import add, check, contains, same

ROOT = ("test", "test")
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
    "Key and signing method. Consult the service documentation for details."
)
WHO = b"Action=GetCallerIdentity&Version=2011-06-15"
FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
ECR = {
    "content-type": "application/x-amz-json-1.1",
    "x-amz-target": "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories",
}


def ago(**time):
    return datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(**time)


# Name, credentials, more arguments of the signature; what STS answers, what ECR answers.
CASES = [
    (
        "a wrong secret",
        ("test", "guess"),
        {},
        (403, "SignatureDoesNotMatch", MISMATCH),
        (400, "InvalidSignatureException", MISMATCH),
    ),
    (
        "a key that nobody has",
        ("AKIAIOSFODNN7EXAMPLE", "guess"),
        {},
        (403, "InvalidClientTokenId", "The security token included in the request is invalid."),
        (400, "UnrecognizedClientException", "The security token included in the request is invalid."),
    ),
    (
        "a clock that is an hour behind",
        ROOT,
        {"now": lambda: ago(hours=1)},
        (403, "SignatureDoesNotMatch", "Signature expired: "),
        (400, "InvalidSignatureException", "Signature expired: "),
    ),
    (
        "a clock that is an hour ahead",
        ROOT,
        {"now": lambda: ago(hours=-1)},
        (403, "SignatureDoesNotMatch", "Signature not yet current: "),
        (400, "InvalidSignatureException", "Signature not yet current: "),
    ),
]


def by_sts(credentials, more, wanted):
    def run(bench):
        arguments = {name: value() for name, value in more.items()}
        answer = aws.signed(bench, "sts", WHO, credentials, headers=FORM, **arguments)
        status, code, message = wanted
        same(answer.status, status, "status")
        same(answer.fault()[0], code, "code")
        contains(answer.fault()[1], [message], "message")

    return run


def by_ecr(credentials, more, wanted):
    def run(bench):
        arguments = {name: value() for name, value in more.items()}
        answer = aws.signed(bench, "ecr", b"{}", credentials, headers=ECR, **arguments)
        status, code, message = wanted
        fault = json.loads(answer.text())
        same(answer.status, status, "status")
        same(fault["__type"], code, "__type")
        contains(fault.get("message") or fault.get("Message"), [message], "message")

    return run


for name, key, extra, sts, ecr in CASES:
    add(__name__, f"{name}: STS says {sts[1]}", by_sts(key, extra, sts))
    add(__name__, f"{name}: ECR says {ecr[1]}", by_ecr(key, extra, ecr))


@check("a right signature by hand is accepted, four minutes late as well")
def _(bench):
    for now in (ago(), ago(minutes=4), ago(minutes=-4)):
        same(aws.signed(bench, "sts", WHO, ROOT, headers=FORM, now=now).status, 200, f"status at {now}")


@check("no signature: STS and ECR each say it in their own words")
def _(bench):
    answer = aws.http(bench.server.url + "/", "POST", WHO, FORM)
    same((answer.status, *answer.fault()), (403, "MissingAuthenticationToken", "Request is missing Authentication Token"))
    answer = aws.http(bench.server.url + "/", "POST", b"{}", ECR)
    same((answer.status, json.loads(answer.text())["__type"]), (400, "MissingAuthenticationTokenException"))


@check("a body that was changed after it was signed is refused")
def _(bench):
    honest = aws.http

    def catch(url, method, body, headers):
        return honest(url, method, body + b"&More=1", headers)

    aws.http = catch
    try:
        answer = aws.signed(bench, "sts", WHO, ROOT, headers=FORM)
    finally:
        aws.http = honest
    same((answer.status, answer.fault()[0]), (403, "SignatureDoesNotMatch"), "status and code")


@check("a signature that is scoped to another service is refused")
def _(bench):
    day = ago().strftime("%Y%m%d")
    answer = aws.signed(bench, "iam", WHO, ROOT, headers=FORM, scope=f"{day}/us-east-1/iam/aws4_request")
    same(answer.status in (400, 403), True, f"status {answer.status}: {answer.text()}")
