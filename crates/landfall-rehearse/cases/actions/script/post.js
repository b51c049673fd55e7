console.log('post', process.env.STATE_old, JSON.stringify(process.env.STATE_new), process.env['STATE_from-pre'], process.env['INPUT_SOME-NAME']);
