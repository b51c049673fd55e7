// A step beside landfall's own: says by @actions/core which role later steps take, or, with `after`, uses what they
// have left in the job's variables.
import * as core from "@actions/core";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";

if (process.argv[2] === "after") {
  const { Arn } = await new STSClient({}).send(new GetCallerIdentityCommand({}));
  core.setOutput("caller", Arn);
  core.setOutput("lines", process.env.SEVERAL_LINES);
} else {
  core.exportVariable("ROLE_TO_ASSUME", core.getInput("role", { required: true }));
  core.exportVariable("SEVERAL_LINES", "one=1\ntwo<<2\n");
}
