// One credential provider of the SDK, by its name: says whose credentials it found, or its error.
import { fromHttp } from "@aws-sdk/credential-provider-http";
import { defaultProvider } from "@aws-sdk/credential-provider-node";
import { fromContainerMetadata } from "@smithy/credential-provider-imds";

const providers = { fromHttp, fromContainerMetadata, default: defaultProvider };

try {
  const { accessKeyId } = await providers[process.argv[2]]()();
  console.log(`found ${accessKeyId}`);
} catch (error) {
  console.log(`${error.name}: ${error.message}`);
  process.exit(1);
}
