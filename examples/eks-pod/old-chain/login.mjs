// What amazon-ecr-login did before it knew Pod Identity: it asked AWS's SDK of November 2023 for credentials.
// That SDK takes AWS_CONTAINER_CREDENTIALS_FULL_URI for the address of an ECS agent, and only for addresses
// that such an agent can have. It never asks the agent that EKS has put there.
import { defaultProvider } from "@aws-sdk/credential-provider-node";

try {
  const { accessKeyId } = await defaultProvider()();
  console.log(`the chain found ${accessKeyId}`);
} catch (error) {
  console.error(`Error: ${error.message}`);
  process.exit(1);
}
