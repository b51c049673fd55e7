#!/usr/bin/env node
// Runs the decision cases of crates/landfall-policy/cases through an independent simulator and lists
// every disagreement: docs/simulator-disagreements.md says of each kind who is right and why.
//
//   node tools/simulate.mjs            fetches the simulator into a temporary folder, and runs
//   node tools/simulate.mjs FOLDER     takes it from FOLDER/node_modules
//
// A tab-separated line for each disagreement (file, case, what ours says, what it says, why if known),
// then the counts. The simulator is under the AGPL: it is fetched to be run, and no part of this tree.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const SIMULATOR = '@cloud-copilot/iam-simulate'
const VERSION = '0.1.173'
const CASES = fileURLToPath(new URL('../crates/landfall-policy/cases', import.meta.url))

const ACCOUNT = '123456789012'
const SESSION = `arn:aws:sts::${ACCOUNT}:assumed-role/deploy/run`
const REPOSITORY = `arn:aws:ecr:eu-west-1:${ACCOUNT}:repository/api`

const given = process.argv[2]
const folder = given ?? mkdtempSync(join(tmpdir(), 'simulate-'))
try {
  if (!given) {
    execFileSync('npm', ['install', '--silent', '--prefix', folder, `${SIMULATOR}@${VERSION}`])
  }
  await run(await simulator(join(folder, 'node_modules')))
} finally {
  if (!given) {
    rmSync(folder, { recursive: true })
  }
}

/** The simulator's own modules: its checking entrance leaves out every context key that its data does
 * not know (`token.actions.githubusercontent.com:sub` among them), the other one fails on any resource
 * policy. Behind both is `authorize`. */
async function simulator(modules) {
  const at = (path) => import(pathToFileURL(join(modules, path)))
  const root = join(SIMULATOR, 'dist', 'esm')
  const [core, constraints, request, context, checking, policies] = await Promise.all([
    at(join(root, 'core_engine', 'CoreSimulatorEngine.js')),
    at(join(root, 'context_keys', 'discoveryContextKeyConstraints.js')),
    at(join(root, 'request', 'request.js')),
    at(join(root, 'requestContext.js')),
    at(join(root, 'index.js')),
    at(join('@cloud-copilot', 'iam-policy', 'dist', 'esm', 'index.js'))
  ])
  return { ...core, ...constraints, ...request, ...context, ...checking, ...policies }
}

async function run(parts) {
  const counts = {}
  for (const { file, name, ours, simulation } of cases()) {
    const theirs = verdict(parts, simulation)
    counts[file] ??= { cases: 0, agree: 0, refused: 0, disagree: 0, 'disagree when checked': 0 }
    counts[file].cases += 1
    const kind = theirs.refused ? 'refused' : theirs.verdict === ours ? 'agree' : 'disagree'
    counts[file][kind] += 1
    if (kind !== 'agree') {
      console.log([file, name, ours, theirs.refused ? 'refused' : theirs.verdict, theirs.refused ?? ''].join('\t'))
    }
    if (file === 'decisions.json' && (await checked(parts, simulation)) !== ours) {
      counts[file]['disagree when checked'] += 1
    }
  }
  console.table(counts)
}

/** Allowed, explicit or implicit: which layer denies has no equal there. */
function verdict(parts, simulation) {
  const { request } = simulation
  const load = ({ name, policy }) => parts.loadPolicy(policy, { name })
  const levels = (all) => all.map((level) => ({ ...level, policies: level.policies.map(load) }))
  try {
    const resource = request.resource
    const context = new parts.RequestContextImpl(request.contextVariables)
    const analysis = parts.authorize({
      request: new parts.AwsRequestImpl(request.principal, resource, request.action, context),
      sessionPolicy: simulation.sessionPolicy && load({ name: 'session', policy: simulation.sessionPolicy }),
      identityPolicies: simulation.identityPolicies.map(load),
      serviceControlPolicies: levels(simulation.serviceControlPolicies),
      resourceControlPolicies: levels(simulation.resourceControlPolicies),
      resourcePolicy: simulation.resourcePolicy && load({ name: 'resource', policy: simulation.resourcePolicy }),
      permissionBoundaries: simulation.permissionBoundaryPolicies?.map(load),
      vpcEndpointPolicies: undefined,
      simulationParameters: {
        simulationMode: 'Strict',
        discoveryContextKeyConstraints: new parts.DiscoveryContextKeyConstraints([])
      },
      serviceSettings: { s3: {} }
    })
    return { verdict: plain(analysis.result) }
  } catch (error) {
    return { refused: error.message }
  }
}

async function checked(parts, simulation) {
  try {
    const result = await parts.runSimulation(simulation, {})
    return result.resultType === 'error' ? 'refused' : plain(result.overallResult)
  } catch {
    return 'refused'
  }
}

function plain(result) {
  return { Allowed: 'allowed', ExplicitlyDenied: 'explicit', ImplicitlyDenied: 'implicit' }[result] ?? result
}

function* cases() {
  for (const one of read('decisions.json')) {
    yield { file: 'decisions.json', name: one.name, ours: one.verdict.split(' ')[0], simulation: decision(one) }
  }
  for (const file of ['condition-matrix.json', 'condition-special.json']) {
    for (const [operator, wanted, have, holds] of read(file)) {
      const context = have === null ? {} : { 'test:Key': value(operator, have) }
      const condition = { [operator]: { 'test:Key': wanted } }
      yield single(file, shown([operator, wanted, have]), holds, { Resource: '*', Condition: condition }, context)
    }
  }
  for (const [element, wanted, got, keys, version, matches] of read('variable.json')) {
    const ofResource = element.endsWith('Resource')
    const clauses = ofResource
      ? { [element]: wanted }
      : { Resource: '*', Condition: { [element]: { 'test:Key': wanted } } }
    const context = ofResource ? keys : { ...keys, 'test:Key': got }
    const name = shown([element, wanted, got, keys, version])
    const resource = ofResource ? got : REPOSITORY
    yield single('variable.json', name, matches, clauses, context, { version, resource })
  }
  for (const [wanted, resource, matches] of read('pattern.json')) {
    const name = shown([wanted, resource])
    yield single('pattern.json', name, matches, { Resource: wanted }, {}, { resource })
  }
  for (const [wanted, action, matches] of read('action.json')) {
    yield single('action.json', shown([wanted, action]), matches, { Action: wanted, Resource: '*' }, {}, { action })
  }
}

function read(file) {
  return JSON.parse(readFileSync(join(CASES, file), 'utf8')).cases
}

/** A list of one is a plain value, but for the operators that are about lists. */
function value(operator, have) {
  const isSet = operator.startsWith('For')
  return !isSet && Array.isArray(have) && have.length === 1 ? have[0] : have
}

function shown(cells) {
  return cells.map((cell) => JSON.stringify(cell)).join(' ')
}

/** An identity policy of one statement, and a session of the same account. */
function single(file, name, holds, clauses, context, { version = '2012-10-17', resource, action } = {}) {
  const statement = { Effect: 'Allow', Action: 'ecr:PutImage', ...clauses }
  const policy = { Version: version, Statement: [statement] }
  const simulation = decision({ identity: [policy], context, resource, action })
  return { file, name, ours: holds ? 'allowed' : 'implicit', simulation }
}

function decision(one) {
  const named = (policies) => policies.map((policy, index) => ({ name: `policy ${index}`, policy }))
  const levels = (all = []) => all.map((level, index) => ({ orgIdentifier: `level ${index}`, policies: named(level) }))
  const action = one.action ?? 'ecr:PutImage'
  const isTrust = /^sts:(AssumeRole(With.*)?|TagSession|SetSourceIdentity|SetContext)$/i.test(action)
  return {
    request: {
      principal: principal(one.principal ?? SESSION),
      action,
      resource: { resource: one.resource ?? REPOSITORY, accountId: one.account ?? ACCOUNT },
      contextVariables: one.context ?? {}
    },
    identityPolicies: named([...(one.identity ?? []), ...managed(one.managed)]),
    resourcePolicy: isTrust ? one.trust : one.resource_policy,
    permissionBoundaryPolicies: one.boundary && named([one.boundary]),
    // They count together; the simulator takes one.
    sessionPolicy: one.session?.length && {
      Version: '2012-10-17',
      Statement: one.session.flatMap((policy) => policy.Statement)
    },
    serviceControlPolicies: levels(one.service_control),
    resourceControlPolicies: levels(one.resource_control)
  }
}

function managed(arns = []) {
  const path = (arn) => join(CASES, '..', 'data', 'managed', `${arn.split('/').pop()}.json`)
  return [arns].flat().map((arn) => JSON.parse(readFileSync(path(arn), 'utf8')))
}

function principal(text) {
  if (text === 'anonymous') {
    return { type: 'Anonymous' }
  }
  return text.replace(/^(federated|service):/, '')
}
