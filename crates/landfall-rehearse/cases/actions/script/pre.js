const fs = require('fs');
console.log('pre of', process.env['INPUT_SOME-NAME']);
fs.appendFileSync(process.env.GITHUB_STATE, 'from-pre=1\n');
