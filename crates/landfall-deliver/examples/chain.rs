//! What the default credential chain of AWS's SDK for Rust finds, as it is: the client checks hold it beside ours.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to its caller")]

use std::process::ExitCode;

use aws_config::BehaviorVersion;
use aws_credential_types::provider::ProvideCredentials as _;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("Error: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let Some(provider) = config.credentials_provider() else { return ExitCode::FAILURE };
        match provider.provide_credentials().await {
            Ok(found) => {
                println!("found {}", found.access_key_id());
                ExitCode::SUCCESS
            }
            Err(error) => {
                let mut text = format!("Error: {error}");
                let mut source = std::error::Error::source(&error);
                while let Some(cause) = source {
                    text.push_str(&format!(": {cause}"));
                    source = cause.source();
                }
                eprintln!("{text}");
                ExitCode::FAILURE
            }
        }
    })
}
