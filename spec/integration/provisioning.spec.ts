/** Provisioning: each way to a real broker, what may be done to it, and that it goes when we go. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect } from 'chai'
import { ProvisionError } from '../../lib/errors.ts'
import { findEngine, LABEL } from '../../lib/testing/kafka/engine.ts'
import { aliveBrokers } from '../../lib/testing/kafka/probe.ts'
import { startKafka } from '../../lib/testing/kafka.ts'
import { until } from '../../lib/testing/until.ts'

const module = new URL('../../lib/testing/kafka.ts', import.meta.url).href

/** Runs module code in a Node process of its own, to its end. */
async function runScript(code: string, env: NodeJS.ProcessEnv): Promise<{ lines: string[]; signal: string | null }> {
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
    env: { ...process.env, ...env },
    timeout: 120_000 // a hang fails the spec and does not outlive it
  })
  const lines: string[] = []
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line))
  createInterface({ input: child.stderr }).on('line', (line) => console.error(line))
  const [, signal] = await once(child, 'close')
  return { lines, signal }
}

const isRefused = (address: string): Promise<boolean> =>
  aliveBrokers(address).then(
    () => false,
    (error) => error.code === 'ECONNREFUSED'
  )

async function hasContainerAt(address: string): Promise<boolean> {
  const { engine } = await findEngine()
  const ours = await engine.listContainers({ all: true, filters: JSON.stringify({ label: [LABEL] }) })
  return ours.some(({ Ports }) => Ports.some(({ PublicPort }) => address.endsWith(`:${PublicPort}`)))
}

const failure = (promise: Promise<unknown>): Promise<ProvisionError> =>
  promise.then(
    () => expect.fail('it resolved'),
    (error) => error
  )

for (const way of ['java', 'docker'] as const) {
  describe(`startKafka by ${way}`, function () {
    this.timeout(240_000) // the first start on a machine runs Maven and may build an image

    before(async function () {
      if (way !== 'docker') return
      await findEngine().catch((error: Error) => {
        console.log(`    skipped: ${error.message}`)
        this.skip()
      })
    })

    it('gives one broker that serves, and stops it for good', async () => {
      const kafka = await startKafka({ ways: [way] })
      expect(kafka.way).to.equal(way)
      expect(kafka.how).to.match(/^Apache Kafka 4\.3\.1 .*, 1 broker, .*, ready in \d+\.\d s$/)
      expect(await aliveBrokers(kafka.brokers[0]!)).to.equal(1)
      await kafka.stop()
      await kafka.stop()
      expect(await failure(aliveBrokers(kafka.brokers[0]!))).to.have.property('code', 'ECONNREFUSED')
    })

    it('gives three brokers of which one may be killed, frozen and started again on its old address', async () => {
      await using kafka = await startKafka({ ways: [way], brokers: 3 })
      const [first, second] = kafka.nodes!
      expect(kafka.brokers).to.have.length(3)
      expect(await aliveBrokers(first!.address)).to.equal(3)

      await second!.kill()
      expect(await failure(aliveBrokers(second!.address))).to.be.instanceOf(Error)
      await until(async () => (await aliveBrokers(first!.address)) === 2, {
        timeoutMs: 30_000,
        what: 'the others miss the killed one'
      })
      await second!.restart()
      expect(await aliveBrokers(second!.address)).to.equal(3)

      await second!.pause()
      expect((await failure(aliveBrokers(second!.address))).message).to.contain('did not answer')
      await second!.resume()
      await until(async () => (await aliveBrokers(second!.address)) === 3, {
        timeoutMs: 30_000,
        what: 'the thawed one takes part again'
      })
    })

    it('says what the broker said when a setting keeps it from starting', async () => {
      const error = await failure(startKafka({ ways: [way], config: { 'num.io.threads': 'many' } }))
      expect(error).to.be.instanceOf(ProvisionError)
      expect(error.message).to.contain('num.io.threads')
    })

    for (const [end, last] of [
      ['dies by kill -9', 'process.kill(process.pid, "SIGKILL")'],
      ['forgets to stop it', '']
    ] as const) {
      it(`lets neither broker nor data outlive a process that ${end}`, async () => {
        const folder = await mkdtemp(join(tmpdir(), 'millrace-spec-'))
        const ran = await runScript(
          `import { startKafka } from ${JSON.stringify(module)}
          const kafka = await startKafka({ ways: ['${way}'] })
          console.log(kafka.brokers[0])
          ${last}`,
          { TMPDIR: folder }
        )
        const address = ran.lines[0]!
        expect(address).to.match(/^[\w.-]+:\d+$/)
        expect(ran.signal).to.equal(last ? 'SIGKILL' : null)
        await until(() => isRefused(address), { what: `the broker at ${address} to end` })
        await until(async () => (await readdir(folder)).every((name) => !name.startsWith('millrace-kafka-')), {
          what: 'its data to be removed'
        })
        if (way === 'docker')
          await until(async () => !(await hasContainerAt(address)), { what: 'its container to be removed' })
        await rm(folder, { recursive: true, force: true })
      })
    }
  })
}

describe('startKafka at a signal', function () {
  this.timeout(180_000)

  it('gives up, and leaves nothing', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-spec-'))
    const before = process.env.TMPDIR
    process.env.TMPDIR = folder
    try {
      const stop = new AbortController()
      const log = (line: string): void => {
        if (line.startsWith('[broker 1]')) stop.abort(new Error('changed my mind'))
      }
      const start = failure(startKafka({ ways: ['java'], signal: stop.signal, log }))
      expect((await start).message).to.equal('changed my mind')
      expect((await readdir(folder)).filter((name) => name.startsWith('millrace-kafka-'))).to.deep.equal([])
    } finally {
      if (before === undefined) delete process.env.TMPDIR
      else process.env.TMPDIR = before
      await rm(folder, { recursive: true, force: true })
    }
  })
})

describe('startKafka by KAFKA_BROKERS', function () {
  this.timeout(180_000)
  let before: string | undefined
  beforeEach(() => {
    before = process.env.KAFKA_BROKERS
  })
  afterEach(() => {
    if (before === undefined) delete process.env.KAFKA_BROKERS
    else process.env.KAFKA_BROKERS = before
  })

  it('uses the running broker and leaves it running', async () => {
    await using own = await startKafka({ ways: ['java'] })
    process.env.KAFKA_BROKERS = own.brokers[0]!
    const kafka = await startKafka()
    expect(kafka.way).to.equal('env')
    expect(kafka.brokers).to.deep.equal(own.brokers)
    expect(kafka.nodes).to.equal(undefined)
    await kafka.stop()
    expect(await aliveBrokers(own.brokers[0]!)).to.equal(1)
  })

  it('says so and goes on to the next way when brokers of its own are asked for', async () => {
    process.env.KAFKA_BROKERS = '127.0.0.1:1'
    const lines: string[] = []
    await using kafka = await startKafka({ ways: ['env', 'java'], own: true, log: (line) => lines.push(line) })
    expect(kafka.way).to.equal('java')
    expect(lines[0]).to.contain('needs brokers of its own')
  })

  it('fails, rather than take another broker in silence, when nothing serves there', async () => {
    process.env.KAFKA_BROKERS = '127.0.0.1:1'
    const error = await failure(startKafka({ ways: ['env', 'java'], envTimeoutMs: 200 }))
    expect(error.code).to.equal('ERR_NO_KAFKA')
    expect(error.message).to.contain('127.0.0.1:1')
  })
})

describe('startKafka with nothing to start', () => {
  it('names for each way what is missing and what to do', async () => {
    const code = `
      import { startKafka } from ${JSON.stringify(module)}
      try { await startKafka() } catch (error) { console.log(JSON.stringify({ code: error.code, message: error.message })) }`
    const ran = await runScript(code, {
      PATH: '/nowhere',
      DOCKER_HOST: 'tcp://127.0.0.1:1',
      JAVA_HOME: undefined,
      KAFKA_BROKERS: undefined,
      MILLRACE_KAFKA: undefined
    })
    const error = JSON.parse(ran.lines[0]!)
    expect(error.code).to.equal('ERR_NO_KAFKA')
    expect(error.message).to.match(/KAFKA_BROKERS: the variable is not set/)
    expect(error.message).to.match(/Docker.*: no Docker engine answers/)
    expect(error.message).to.match(/Java 17 or newer is needed/)
    expect(error.message).to.match(
      /Set KAFKA_BROKERS=host:port to a running one, or start a Docker engine, or install Java 17 and Maven/
    )
  })
})
