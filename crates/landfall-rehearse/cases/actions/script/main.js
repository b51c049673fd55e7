const fs = require('fs');
const names = Object.keys(process.env).filter((name) => name.startsWith('INPUT_') || name.startsWith('STATE_')).sort();
for (const name of names) console.log(`${name}=${process.env[name]}`);
console.log('::save-state name=old::kept');
fs.appendFileSync(process.env.GITHUB_STATE, 'new<<E\nline one\nline two\nE\n');
fs.appendFileSync(process.env.GITHUB_OUTPUT, 'done=yes\n');
if (process.env['INPUT_SOME-NAME'] === 'bad') process.exit(4);
