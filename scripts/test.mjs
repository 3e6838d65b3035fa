/** The one test command: install, lint, types, build, unit specs, specs on a real Kafka; ends with `N passed, N failed`. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ensureInstalled, root } from './install.mjs'

const help = `npm test                       everything, on this Node
npm test -- --unit             no broker: lint, types, build and the specs that run in process
npm test -- --integration      only the specs on a real Kafka
npm test -- --grep WORD        only specs whose title has WORD
npm test -- --node 24          the specs on another Node (its npm package is fetched on first use)

The broker: KAFKA_BROKERS=host:port,… when set; else Docker through testcontainers; else Apache Kafka's jars on Java 17.`

const values = parsed()
if (values.help) {
  console.log(help)
  process.exit(0)
}
ensureInstalled()

const bin = (name) => join(root, 'node_modules', '.bin', name)
const node = values.node ? otherNode(values.node) : process.execPath
const counts = { passed: 0, failed: 0, skipped: [] }
let broken = 0

if (!values.integration && !values.grep && !values.node) {
  step('lint', bin('biome'), ['check', '.', '--error-on-warnings'])
  step('types, specs and benches too', bin('tsc'), ['-p', 'tsconfig.json'])
  step('build', process.execPath, ['--import', 'tsx', 'scripts/build.ts'])
}
if (!values.integration) specs('specs in process', ['--ignore', 'spec/integration/**', 'spec/**/*.spec.ts'])
if (!values.unit) specs('specs on a real Kafka', ['spec/integration/**/*.spec.ts'])

// Machines of CI are noisy: a wrong result fails, a slow one does not.
if (!values.unit && !values.integration && !values.grep && !values.node)
  step('every workload of the bench, beside Kafka Streams', process.execPath, ['bench/launch.mjs', '--quick'])

if (counts.skipped.length > 0)
  console.log(`\nskipped (the reason is printed where it happened):\n  ${counts.skipped.join('\n  ')}`)
const none = values.grep !== undefined && counts.passed + counts.failed + counts.skipped.length + broken === 0
if (none) console.log(`\nNo spec has "${values.grep}" in its title.`)
console.log(`\n${counts.passed} passed, ${counts.failed + broken} failed`)
process.exit(counts.failed + broken > 0 || none ? 1 : 0)

function parsed() {
  try {
    return parseArgs({
      options: {
        unit: { type: 'boolean' },
        integration: { type: 'boolean' },
        grep: { type: 'string' },
        node: { type: 'string' },
        help: { type: 'boolean', short: 'h' }
      }
    }).values
  } catch (error) {
    console.error(`${error.message}\n\n${help}`)
    process.exit(2)
  }
}

function step(name, command, args) {
  console.log(`\n— ${name}`)
  const done = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    shell: process.platform === 'win32'
  })
  if (done.status !== 0) {
    broken++
    console.log(`✗ ${name} failed`)
  }
}

function specs(name, files) {
  console.log(`\n— ${name} (Node ${values.node ?? process.versions.node})`)
  const report = join(mkdtempSync(join(tmpdir(), 'millrace-test-')), 'counts.json')
  const args = [join(root, 'node_modules/mocha/bin/mocha.js'), '--reporter', './scripts/reporter.cjs', ...files]
  if (values.grep) args.push('--grep', values.grep)
  const env = { ...process.env, MILLRACE_COUNTS: report, NODE_OPTIONS: '' }
  const done = spawnSync(node, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env })
  const result = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : { passed: 0, failed: 0, skipped: [] }
  counts.passed += result.passed
  counts.failed += result.failed
  counts.skipped.push(...result.skipped)
  if (done.status !== 0 && result.failed === 0) {
    broken++
    console.log(`✗ ${name}: the run ended with ${done.signal ?? `status ${done.status}`}`)
  }
}

/** Node's builds are npm packages, one a platform. */
function otherNode(version) {
  const name = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`
  const home = join(root, 'node_modules', '.cache', 'millrace', `node-${version}`)
  const path = join(home, 'node_modules', name, 'bin', 'node')
  if (!existsSync(path)) {
    mkdirSync(home, { recursive: true })
    console.log(`Fetching Node ${version} (${name}) …`)
    spawnSync('npm', ['install', '--prefix', home, '--no-save', '--loglevel=error', `${name}@${version}`], {
      stdio: 'inherit'
    })
  }
  if (!existsSync(path)) {
    console.error(
      `Node ${version} could not be had as the npm package ${name}@${version}. Install it and run its binary with this script instead.`
    )
    process.exit(2)
  }
  return path
}
