//! What the Terraform only looks up: somebody else made it, so it is made here when it isn't there, and left alone when
//! it is.

use landfall_check::terraform;
use landfall_types::Finding;

use super::Seeder;

impl Seeder<'_> {
    /// A provider that is only looked up.
    pub(super) fn looked_up_provider(
        &self,
        provider: &terraform::OidcProvider,
    ) -> Option<Result<(), Finding>> {
        self.snapshot(&provider.arn).is_none().then(|| self.provider(provider))
    }

    /// A log group that is only looked up.
    pub(super) fn looked_up_log_group(&self, group: &terraform::LogGroup) -> Option<Result<(), Finding>> {
        self.snapshot(&self.log_group_arn(group)).is_none().then(|| self.log_group(group))
    }

    /// A repository that is only looked up.
    pub(super) fn looked_up_repository(
        &self,
        repository: &terraform::Repository,
    ) -> Option<Result<(), Finding>> {
        self.snapshot(&repository.arn).is_none().then(|| self.repository(repository))
    }
}
