// What a GitHub action does: the job's ID token by @actions/core, a session for it, the registry's login,
// outputs and masks. The role and the region are inputs.
import * as core from "@actions/core";
import { ECRClient, GetAuthorizationTokenCommand } from "@aws-sdk/client-ecr";
import { AssumeRoleWithWebIdentityCommand, GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";

const RoleArn = core.getInput("role", { required: true });
const region = core.getInput("region", { required: true });

try {
  const token = await core.getIDToken("sts.amazonaws.com");
  const exchange = { RoleArn, RoleSessionName: "by-javascript", WebIdentityToken: token };
  const { Credentials } = await new STSClient({ region, maxAttempts: 1 }).send(
    new AssumeRoleWithWebIdentityCommand(exchange),
  );
  core.setSecret(Credentials.SecretAccessKey);
  const credentials = {
    accessKeyId: Credentials.AccessKeyId,
    secretAccessKey: Credentials.SecretAccessKey,
    sessionToken: Credentials.SessionToken,
  };
  const { Arn } = await new STSClient({ region, credentials }).send(new GetCallerIdentityCommand({}));
  const { authorizationData } = await new ECRClient({ region, credentials }).send(
    new GetAuthorizationTokenCommand({}),
  );
  const [{ authorizationToken, proxyEndpoint }] = authorizationData;
  core.setSecret(authorizationToken);
  const answer = await fetch(`${proxyEndpoint}/v2/`, { headers: { authorization: `Basic ${authorizationToken}` } });
  core.info(`the registry answers ${answer.status}`);
  core.info(`the secret key is ${Credentials.SecretAccessKey}`);
  core.setOutput("arn", Arn);
  core.exportVariable("EXPIRES", Credentials.Expiration.toISOString());
  await core.summary.addHeading("The crossing").write();
} catch (error) {
  core.setFailed(`${error.name}: ${error.message}`);
}
