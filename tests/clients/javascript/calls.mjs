// Calls of the SDK, one a line on standard input: {"service", "operation", "input"}. Answers and errors as they
// are, one a line.
import * as readline from "node:readline";
import * as ecr from "@aws-sdk/client-ecr";
import * as sts from "@aws-sdk/client-sts";

const services = { ecr: [ecr, "ECRClient"], sts: [sts, "STSClient"] };

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { service, operation, input } = JSON.parse(line);
  const [library, client] = services[service];
  try {
    const answer = await new library[client]({ maxAttempts: 1 }).send(new library[`${operation}Command`](input));
    console.log(JSON.stringify({ answer }));
  } catch (error) {
    const { name, message, $metadata = {} } = error;
    console.log(JSON.stringify({ name, message, status: $metadata.httpStatusCode }));
  }
}
