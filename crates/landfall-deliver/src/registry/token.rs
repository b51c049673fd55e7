//! A registry's token service: who shows a login there, or nothing, gets a token for one repository. Tokens live for
//! minutes and uploads for longer: a new one is fetched when the registry no longer takes the old one.
//! <https://distribution.github.io/distribution/spec/auth/token/>, and for identity tokens
//! <https://distribution.github.io/distribution/spec/auth/oauth/>

use landfall_types::RepositoryName;
use reqwest::header::{CONTENT_TYPE, HOST, HeaderValue};
use reqwest::{Client, RequestBuilder, Url};
use tokio::sync::Mutex;

use super::endpoint::Endpoint;
use super::{ANSWER_BYTES_MAX, Patience, RegistryError, answer, header, patiently};
use crate::docker_config::Login;
use crate::http;
use crate::proxy::Proxy;

/// The service, and the token that is shown at present.
#[derive(Debug)]
pub(super) struct TokenService {
    client: Client,
    /// What messages say is being done.
    doing: String,
    realm: Url,
    /// The name that it goes by, where it is played on this machine.
    host: Option<String>,
    /// The service's name and the scopes, as the query has them.
    wanted: Vec<(&'static str, String)>,
    login: Option<Login>,
    patience: Patience,
    token: Mutex<Option<HeaderValue>>,
}

impl TokenService {
    /// A service by its address; `mounted` are further repositories that blobs may be taken from.
    ///
    /// # Errors
    /// When it isn't reached over an encrypted or local connection.
    pub(super) fn new(
        endpoint: &Endpoint,
        (realm, service): (&str, Option<&str>),
        (repository, mounted): (&RepositoryName, &[RepositoryName]),
        login: Option<&Login>,
        patience: Patience,
        proxy: &Proxy,
    ) -> Result<Self, RegistryError> {
        let registry = &endpoint.name;
        let doing = format!("asking {registry}'s token service");
        let target = Url::parse(realm)
            .ok()
            .map(|realm| endpoint.token_service(realm))
            .filter(|target| target.url.scheme() == "https" || http::is_plain_loopback(&target.url))
            .ok_or_else(|| RegistryError::Unexpected {
                doing: doing.clone(),
                what: "its address must be https (or http on this machine)".to_owned(),
            })?;
        let client = http::client(&target.url, proxy)
            .map_err(|cause| RegistryError::Client { registry: registry.clone(), cause })?;
        let host = target.is_registry.then(|| registry.clone());
        let realm = target.url;
        let mut wanted: Vec<_> = service.map(|service| ("service", service.to_owned())).into_iter().collect();
        wanted.push(("scope", format!("repository:{repository}:pull,push")));
        wanted.extend(mounted.iter().map(|source| ("scope", format!("repository:{source}:pull"))));
        let token = Mutex::new(None);
        Ok(Self { client, doing, realm, host, wanted, login: login.cloned(), patience, token })
    }

    /// The token that is shown.
    pub(super) async fn token(&self) -> Option<HeaderValue> {
        self.token.lock().await.clone()
    }

    /// Gets a token in place of one that the registry doesn't take. Says whether there is another one now: where
    /// several ask at once, the first one's serves all.
    ///
    /// # Errors
    /// When the service can't be reached.
    pub(super) async fn renew(&self, old: Option<&HeaderValue>) -> Result<bool, RegistryError> {
        let mut token = self.token.lock().await;
        if token.as_ref() != old {
            return Ok(true);
        }
        let given = self.ask().await?;
        let is_given = given.is_some();
        *token = given.or(token.take());
        Ok(is_given)
    }

    async fn ask(&self) -> Result<Option<HeaderValue>, RegistryError> {
        let limit = self.patience.answer;
        let ask = || async {
            let request = match &self.host {
                Some(host) => self.request().header(HOST, host),
                None => self.request(),
            };
            let sent = request.timeout(limit).send().await;
            sent.map_err(|cause| RegistryError::sent(&self.doing, limit, cause))
        };
        let response = patiently(self.patience.backoff, ask).await?;
        let status = response.status();
        if status.is_client_error() && !http::is_transient(status) {
            return Ok(None);
        }
        if !status.is_success() {
            return Err(answer(self.doing.clone(), response).await);
        }
        let unexpected = |what: String| RegistryError::Unexpected { doing: self.doing.clone(), what };
        #[derive(serde::Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
        }
        let body =
            http::body(response, ANSWER_BYTES_MAX).await.map_err(|error| unexpected(error.to_string()))?;
        let token = serde_json::from_slice::<Answer>(&body)
            .ok()
            .and_then(|answer| answer.token.or(answer.access_token))
            .and_then(|token| header(&format!("Bearer {token}")));
        token.map(Some).ok_or_else(|| unexpected("its answer holds no token".to_owned()))
    }

    fn request(&self) -> RequestBuilder {
        let mut url = self.realm.clone();
        let identity = self.login.as_ref().and_then(Login::identity_token);
        let Some(identity) = identity else {
            url.query_pairs_mut().extend_pairs(&self.wanted);
            let request = self.client.get(url);
            return match &self.login {
                Some(login) => request.basic_auth(&login.username, Some(login.password.expose())),
                None => request,
            };
        };
        // A query and a form are written alike.
        let mut form = self.realm.clone();
        form.set_query(None);
        let scopes = self.wanted.iter().filter(|(name, _)| *name == "scope");
        let scopes: Vec<_> = scopes.map(|(_, scope)| scope.as_str()).collect();
        form.query_pairs_mut()
            .append_pair("grant_type", "refresh_token")
            .extend_pairs(self.wanted.iter().filter(|(name, _)| *name == "service"))
            .append_pair("client_id", "landfall")
            .append_pair("scope", &scopes.join(" "))
            .append_pair("refresh_token", identity.expose());
        let form = form.query().unwrap_or_default().to_owned();
        self.client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
    }
}
