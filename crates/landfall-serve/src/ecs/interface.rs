//! The network interface of a task with a network of its own. There is none: what is told of it is made up, stays as it is,
//! and fits together, so that what reads it finds what it would find on AWS.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Attachment.html>

use std::net::Ipv4Addr;

use landfall_wire::hash::{hex, sha256};
use serde_json::{Value, json};

use crate::store::ecs::{Task, TaskStatus};

/// Zones of a region.
const ZONES: [char; 3] = ['a', 'b', 'c'];
/// Addresses at the beginning of a subnet that AWS keeps for itself.
/// <https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html>
pub(super) const KEPT: u16 = 4;

/// What is told of a task's network interface.
pub(super) struct Interface<'t> {
    task: &'t Task,
    subnet: &'t str,
    /// What follows from the task's id.
    seed: [u8; 32],
}

impl<'t> Interface<'t> {
    /// That of a task; none where it has no network of its own.
    pub(super) fn of(task: &'t Task) -> Option<Self> {
        let vpc = task.body.get("networkConfiguration")?.get("awsvpcConfiguration")?;
        let subnet = vpc.get("subnets")?.as_array()?.first()?.as_str()?;
        Some(Self { task, subnet, seed: sha256(task.id.as_bytes()) })
    }

    /// `Attachment`, with as much as is known in the task's status (captured).
    pub(super) fn attachment(&self) -> Value {
        let status = match self.task.status {
            TaskStatus::Provisioning => "PRECREATED",
            TaskStatus::Pending
            | TaskStatus::Activating
            | TaskStatus::Running
            | TaskStatus::Deactivating
            | TaskStatus::Stopping => "ATTACHED",
            TaskStatus::Deprovisioning => "DETACHING",
            TaskStatus::Stopped => "DELETED",
        };
        let detail = |name: &str, value: &str| json!({ "name": name, "value": value });
        let mut details = vec![detail("subnetId", self.subnet)];
        if self.is_there() {
            let address = self.address();
            details.extend([
                detail("networkInterfaceId", &format!("eni-0{}", self.part(16, 8))),
                detail("macAddress", &self.mac()),
                detail("privateDnsName", &private_name(address, &self.task.place.region)),
                detail("privateIPv4Address", &address.to_string()),
            ]);
        }
        json!({
            "id": self.id(),
            "type": "ElasticNetworkInterface",
            "status": status,
            "details": details,
        })
    }

    /// `NetworkInterface` of each of the task's containers.
    pub(super) fn of_container(&self) -> Value {
        if !self.is_there() {
            return json!([]);
        }
        json!([{ "attachmentId": self.id(), "privateIpv4Address": self.address().to_string() }])
    }

    fn is_there(&self) -> bool {
        self.task.status != TaskStatus::Provisioning
    }

    fn part(&self, from: usize, bytes: usize) -> String {
        hex(self.seed.get(from..from + bytes).unwrap_or_default())
    }

    fn id(&self) -> String {
        let text = self.part(0, 16);
        let piece = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
        // The bits that say that a UUID is a random one.
        format!("{}-{}-4{}-a{}-{}", piece(0, 8), piece(8, 12), piece(13, 16), piece(17, 20), piece(20, 32))
    }

    /// An address of those that everyone may give.
    fn mac(&self) -> String {
        let bytes = self.seed.get(24..29).unwrap_or_default();
        bytes.iter().fold("02".to_owned(), |mac, byte| format!("{mac}:{byte:02x}"))
    }

    /// The task's place in its subnet, which is 10.N.0.0/16 for an N of its own.
    fn address(&self) -> Ipv4Addr {
        let [second, ..] = sha256(self.subnet.as_bytes());
        let [third, fourth] = self.task.host_number.unwrap_or(KEPT).to_be_bytes();
        Ipv4Addr::new(10, second, third, fourth)
    }
}

/// The zone that a task is in: that of its subnet.
pub(super) fn zone(task: &Task) -> String {
    let letter = Interface::of(task).map_or(0, |interface| {
        let [_, byte, ..] = sha256(interface.subnet.as_bytes());
        usize::from(byte) % ZONES.len()
    });
    format!("{}{}", task.place.region, ZONES.get(letter).copied().unwrap_or('a'))
}

/// The name that a VPC's DNS has for an address.
fn private_name(address: Ipv4Addr, region: &str) -> String {
    let domain =
        if region == "us-east-1" { "ec2.internal".to_owned() } else { format!("{region}.compute.internal") };
    format!("ip-{}.{domain}", address.to_string().replace('.', "-"))
}
