//! What is tried at the doors of ECS, EKS, CodeDeploy and CloudWatch alike. Each service has its operations in a table of
//! [`Door`]s, and furnishes a world in which they work.

use landfall_policy::catalogue;
use serde_json::{Value, json};

use crate::bench::{ACCOUNT, Bench, NOW, REGION, allow, root};
use crate::client::{Keys, Reply, Request, Signing};

/// An operation, and a request with which it works in a furnished world.
pub struct Door {
    /// The name in signatures.
    pub service: &'static str,
    pub operation: &'static str,
    pub method: &'static str,
    /// `/` for the services whose operation stands in a header.
    pub path: &'static str,
    pub body: &'static str,
    /// What it is decided on: an ARN, `*`, or what follows the account in an ARN of the service.
    pub resource: &'static str,
    /// Further actions that it takes, with their resources.
    pub also: &'static [(&'static str, &'static str)],
    /// The code of its answer to whoever gets through, when that is a refusal.
    pub code: &'static str,
}

impl Door {
    /// An operation of a service that speaks JSON with all in the body.
    pub const fn json(
        service: &'static str,
        operation: &'static str,
        resource: &'static str,
        body: &'static str,
    ) -> Self {
        Self { service, operation, method: "POST", path: "/", body, resource, also: &[], code: "" }
    }

    fn action(&self) -> &'static str {
        catalogue::need(self.service, self.operation).unwrap().action
    }

    /// The name that signatures have for the service.
    fn signed_as(&self) -> &'static str {
        if self.service == "cloudwatch" { "monitoring" } else { self.service }
    }

    /// The status of refusals before the operation.
    fn refusal(&self) -> u16 {
        if self.path == "/" { 400 } else { 403 }
    }

    fn request<W: Furnished>(&self, world: &W) -> Request {
        let body = world.fill(self.body);
        if self.path == "/" {
            return Request::json(self.service, self.operation, &body);
        }
        let request = Request::new(self.method, &world.fill(self.path));
        request.header("content-type", "application/json").body(body)
    }

    fn resource<W: Furnished>(&self, world: &W) -> String {
        match world.fill(self.resource) {
            all if all == "*" => all,
            arn if arn.starts_with("arn:") => arn,
            rest => {
                let service = self.service.split('-').next().unwrap();
                format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}")
            }
        }
    }
}

/// A world in which each operation of a table works, in the table's order.
pub trait Furnished {
    fn bench(&self) -> &Bench;
    /// Puts the names that are known only here, such as `${task}`, in their places.
    fn fill(&self, text: &str) -> String;
}

/// A statement of a policy.
pub fn statement(effect: &str, action: &str, resource: &str) -> Value {
    json!({"Effect": effect, "Action": action, "Resource": resource})
}

/// Gives a role these statements and no others.
pub fn give(bench: &Bench, role: &str, statements: &[Value]) {
    let policy = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    let put = [("RoleName", role), ("PolicyName", "only"), ("PolicyDocument", policy.as_str())];
    assert_eq!(bench.iam("PutRolePolicy", &put).status, 200);
}

/// The answer to a call that works.
pub fn works(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

/// AWS's refusal of a role's session.
pub fn denied(role: &str, action: &str, resource: &str, reason: &str) -> (String, String) {
    let sentence = format!(
        "User: arn:aws:sts::{ACCOUNT}:assumed-role/{role}/test is not authorized to perform: {action} on resource: {resource} {reason}"
    );
    ("AccessDeniedException".to_owned(), sentence)
}

/// Why a role without the action is refused.
pub fn nothing_allows(action: &str) -> String {
    format!("because no identity-based policy allows the {action} action")
}

/// Every operation that the server has stands in the table, once, and in the catalogue.
pub fn is_whole(doors: &[Door], api: &[&[(&str, &str)]]) {
    let listed: Vec<(&str, &str)> = doors.iter().map(|door| (door.service, door.operation)).collect();
    let known: Vec<(&str, &str)> = api.iter().copied().flatten().copied().collect();
    for (service, name) in &known {
        assert!(listed.contains(&(service, name)), "{name} is not covered");
        assert!(catalogue::need(service, name).is_some(), "{name} is not in the catalogue");
    }
    assert_eq!(listed.len(), known.len());
}

/// Nobody gets in without credentials, with a guessed key, with a session that ended, or with a signature for
/// another service.
pub fn strangers_stay_outside<W: Furnished>(world: &W, doors: &[Door]) {
    let bench = world.bench();
    let keys = bench.session_with("all", &["*"]);
    bench.server.world.clock.advance(3600);
    for door in doors {
        let at = |service: &'static str| Signing { service, region: REGION, at: NOW };
        let refused = |request: Request, code: &str| {
            let reply = bench.send(&request);
            let (said, sentence) = reply.fault();
            assert_eq!((reply.status, said.as_str()), (door.refusal(), code), "{}", door.operation);
            sentence
        };
        refused(door.request(world), "MissingAuthenticationTokenException");
        let guess = Keys { secret: "guess".to_owned(), ..keys.clone() };
        refused(door.request(world).sign(&guess, at(door.signed_as())), "InvalidSignatureException");
        refused(door.request(world).sign(&keys, at(door.signed_as())), "ExpiredTokenException");
        let elsewhere = door.request(world).sign(&root(), at("ecr"));
        let sentence = format!("Credential should be scoped to correct service: '{}'. ", door.signed_as());
        assert_eq!(refused(elsewhere, "InvalidSignatureException"), sentence);
    }
}

/// A role gets in with the action on the resource and with each further one, and not without any of them.
pub fn a_role_needs_each_action<W: Furnished>(world: &W, doors: &[Door]) {
    let bench = world.bench();
    for role in ["without", "denied", "with"] {
        bench.role(role, &allow(&["s3:*"], "*"));
    }
    let [without, forbidden, with] = ["without", "denied", "with"].map(|role| bench.session(role));
    for door in doors {
        let (action, resource) = (door.action(), door.resource(world));
        let call = |keys: &Keys| bench.call(keys, door.signed_as(), door.request(world));
        give(bench, "denied", &[statement("Allow", "*", "*"), statement("Deny", action, &resource)]);
        let explicit = "with an explicit deny in an identity-based policy".to_owned();
        for (role, keys, reason) in
            [("without", &without, nothing_allows(action)), ("denied", &forbidden, explicit)]
        {
            let reply = call(keys);
            assert_eq!(reply.status, door.refusal(), "{}", door.operation);
            assert_eq!(reply.fault(), denied(role, action, &resource, &reason), "{}", door.operation);
        }
        let also: Vec<(&str, String)> =
            door.also.iter().map(|(action, resource)| (*action, world.fill(resource))).collect();
        let own = statement("Allow", action, &resource);
        for (left_out, on) in &also {
            let rest = also.iter().filter(|(action, resource)| (action, resource) != (left_out, on));
            let rest = rest.map(|(action, on)| statement("Allow", action, on));
            give(bench, "with", &rest.chain([own.clone()]).collect::<Vec<_>>());
            let wanted = denied("with", left_out, on, &nothing_allows(left_out));
            assert_eq!(call(&with).fault(), wanted, "{}", door.operation);
        }
        let all = also.iter().map(|(action, on)| statement("Allow", action, on));
        give(bench, "with", &all.chain([own]).collect::<Vec<_>>());
        let reply = call(&with);
        let code = if reply.status == 200 { String::new() } else { reply.fault().0 };
        assert_eq!(code, door.code, "{}: {}", door.operation, reply.body);
    }
}

/// A role is passed under one condition on `iam:PassRole` and under no other.
pub fn a_role_is_passed(
    bench: &Bench,
    service: &str,
    role: &str,
    request: &Request,
    cases: &[(Value, bool)],
) {
    bench.role("deploy", &allow(&["s3:*"], "*"));
    let keys = bench.session("deploy");
    for (condition, passes) in cases {
        let mut pass = statement("Allow", "iam:PassRole", role);
        pass["Condition"] = json!({ "StringEquals": condition });
        give(bench, "deploy", &[statement("Allow", &format!("{service}:*"), "*"), pass]);
        let reply = bench.call(&keys, service, request.clone());
        assert_eq!(reply.status == 200, *passes, "{condition}: {}", reply.body);
        assert_eq!(bench.newest().action.as_deref(), Some("iam:PassRole"));
    }
}
