//! Services that are not here: each is refused in its own protocol, and named.

use crate::bench::{Bench, root};
use crate::client::Request;

/// What is said of a service and its operation.
fn sentence(service: &str, operation: &str) -> String {
    format!(
        "this local side does not have the service {service}, which was asked for the operation {operation}"
    )
}

#[test]
fn a_service_that_is_not_here_is_named_in_its_own_protocol() {
    let bench = Bench::new();
    let target = |name: &str, kind: &str| {
        let kind = format!("application/x-amz-json-{kind}");
        Request::new("POST", "/").header("x-amz-target", name).header("content-type", &kind).body("{}")
    };
    let query = |version: &str, action: &str| Request::query(version, action, &[]);
    let rows = [
        ("ssm", "GetParameter", target("AmazonSSM.GetParameter", "1.1"), 400, "UnknownOperationException"),
        (
            "secretsmanager",
            "GetSecretValue",
            target("secretsmanager.GetSecretValue", "1.1"),
            400,
            "UnknownOperationException",
        ),
        (
            "dynamodb",
            "ListTables",
            target("DynamoDB_20120810.ListTables", "1.0"),
            400,
            "UnknownOperationException",
        ),
        (
            "elasticloadbalancing",
            "DescribeLoadBalancers",
            query("2015-12-01", "DescribeLoadBalancers"),
            400,
            "InvalidAction",
        ),
        ("ec2", "DescribeVpcs", query("2016-11-15", "DescribeVpcs"), 400, "InvalidAction"),
        ("s3", "GET /", Request::new("GET", "/"), 501, "NotImplemented"),
        ("s3", "PUT /bucket/key", Request::new("PUT", "/bucket/key").body("x"), 501, "NotImplemented"),
        (
            "lambda",
            "GET /2015-03-31/functions/",
            Request::new("GET", "/2015-03-31/functions/"),
            404,
            "UnknownOperationException",
        ),
    ];
    for (service, operation, request, status, code) in rows {
        let reply = bench.call(&root(), service, request);
        let told = sentence(service, operation);
        assert_eq!((reply.status, reply.fault()), (status, (code.to_owned(), told.clone())), "{service}");
        let newest = bench.newest();
        assert_eq!(newest.operation, operation);
        assert!(newest.finding.as_ref().unwrap().message.ends_with(&told), "{service}");
    }
    let cbor = Request::new("POST", "/service/X/operation/Y").header("smithy-protocol", "rpc-v2-cbor");
    let reply = bench.call(&root(), "arc-region-switch", cbor);
    assert_eq!((reply.status, reply.header("content-type")), (400, Some("application/cbor")));
    assert!(reply.body.contains(&sentence("arc-region-switch", "Y")), "{}", reply.body);
}

#[test]
fn an_operation_that_is_not_here_is_named() {
    let bench = Bench::new();
    let target = Request::new("POST", "/").header("x-amz-target", "Logs_20140328.StartQuery").body("{}");
    let reply = bench.call(&root(), "logs", target);
    let told = "this local side does not have the operation StartQuery";
    assert_eq!(reply.fault(), ("UnknownOperationException".to_owned(), told.to_owned()));
    let reply = bench.call(&root(), "eks", Request::new("GET", "/clusters/q/addons"));
    let told = "this local side does not have the operation GET /clusters/q/addons of EKS";
    assert_eq!(reply.fault(), ("UnknownOperationException".to_owned(), told.to_owned()));
}
