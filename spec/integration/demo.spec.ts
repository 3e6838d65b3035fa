/**
 * The demo as a user runs it. Claims: each of the three commands ends with status 0 and every figure exact; wrong options are told in a
 * sentence with status 2; after Ctrl-C in the middle no process, topic or state directory stays behind.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { kafkaTransport } from '../../lib/kafka/kafkajs.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { until } from '../../lib/testing/until.ts'
import { broker } from './support.ts'

const launcher = fileURLToPath(new URL('../../examples/flights/launch.mjs', import.meta.url))
const FIGURES = 27_757

class Demo {
  output = ''
  readonly child: ChildProcess
  readonly ended: Promise<[code: number | null, signal: string | null]>

  /** In a process group of its own, as a terminal would start it. */
  constructor(args: string[], environment: Record<string, string> = {}) {
    this.child = spawn(process.execPath, [launcher, ...args], {
      detached: true,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.on('data', (bytes: Buffer) => {
        this.output += bytes.toString()
      })
    }
    this.ended = once(this.child, 'close') as Demo['ended']
  }

  /** To every process of the group, as Ctrl-C does. */
  signal(name: NodeJS.Signals): void {
    try {
      process.kill(-this.child.pid!, name)
    } catch {}
  }

  get groupLives(): boolean {
    try {
      return process.kill(-this.child.pid!, 0)
    } catch {
      return false
    }
  }
}

describe('the demo', function () {
  this.timeout(60_000)
  let brokers: string
  let transport: Transport
  let folder: string // its temporary files lie here
  let topics: string[] // there before the demo
  const demos: Demo[] = []

  before(async () => {
    brokers = (await broker()).brokers.join(',')
    transport = kafkaTransport({ brokers: brokers.split(',') })
    folder = await mkdtemp(join(tmpdir(), 'millrace-demo-spec-'))
  })
  after(async () => {
    for (const demo of demos) demo.signal('SIGKILL')
    await transport?.close()
    if (folder) await rm(folder, { recursive: true, force: true })
  })

  beforeEach(async () => {
    topics = await transport.admin.topics()
  })

  const start = (args: string[], environment: Record<string, string> = {}): Demo => {
    const demo = new Demo(args, { TMPDIR: folder, ...environment })
    demos.push(demo)
    return demo
  }
  const finishes = async (demo: Demo, code: number): Promise<string> => {
    expect((await demo.ended)[0], demo.output).to.equal(code)
    return demo.output
  }
  const leavesNothing = async (demo: Demo): Promise<void> => {
    await until(() => !demo.groupLives, { what: 'all processes of the demo have ended', timeoutMs: 15_000 })
    expect(readdirSync(folder).filter((name) => name.startsWith('millrace-'))).to.eql([])
    const more = (await transport.admin.topics()).filter((topic) => !topics.includes(topic))
    expect(more.filter((topic) => topic.startsWith('millrace-demo-') || topic.startsWith('flights'))).to.eql([])
  }

  it('without options: every figure is exact on the embedded log', async () => {
    const demo = start([])
    const output = await finishes(demo, 0)
    expect(output).to.include(`exact: ${FIGURES} of ${FIGURES} figures (20,000 flights`)
    expect(output).to.include('Dallas-Fort Worth').and.not.include('✗')
    await leavesNothing(demo)
  })

  it('--kafka: every figure is exact from two processes, and a broker that was there is left as it was', async () => {
    const demo = start(['--kafka'], { KAFKA_BROKERS: brokers })
    const output = await finishes(demo, 0)
    expect(output).to.include('two processes are running the job')
    expect(output).to.include(`exact: ${FIGURES} of ${FIGURES} figures`)
    await leavesNothing(demo)
  })

  it('--crash: every figure is exact though a process is killed in the middle', async () => {
    const demo = start(['--brokers', brokers, '--crash', '--seconds', '4'])
    const output = await finishes(demo, 0)
    expect(output).to.match(/process 1 was killed with SIGKILL in the middle; process 3 took over [1-9]\d* tasks/)
    expect(output).to.include(`exact: ${FIGURES} of ${FIGURES} figures`)
    await leavesNothing(demo)
  })

  it('--help tells each command', async () => {
    const output = await finishes(start(['--help']), 0)
    for (const option of ['--kafka', '--crash', '--brokers', '--seconds']) expect(output).to.include(option)
  })

  const mistakes = {
    'an unknown option': [['--kafak'], /Unknown option '--kafak'/],
    '--crash without a Kafka': [['--crash'], /--crash kills one of two processes.* add --kafka or --brokers/],
    'seconds that are none': [['--seconds', 'soon'], /--seconds soon is not a number/]
  } as const
  for (const [mistake, [args, told]] of Object.entries(mistakes)) {
    it(`${mistake}: status 2 and a sentence, no stack`, async () => {
      const output = await finishes(start([...args]), 2)
      expect(output).to.match(told)
      expect(output).to.not.match(/^\s+at /m)
    })
  }

  for (const [where, args] of [
    ['on the embedded log', () => ['--seconds', '30']],
    ['on Kafka', () => ['--brokers', brokers, '--seconds', '30']]
  ] as const) {
    it(`Ctrl-C in the middle ${where}: status 130, and nothing stays behind`, async () => {
      const demo = start(args())
      await until(() => /^ +[1-9]\d* %/m.test(demo.output), {
        what: () => `flights are counted: ${demo.output}`,
        timeoutMs: 40_000
      })
      demo.signal('SIGINT')
      const output = await finishes(demo, 130)
      expect(output).to.include('stopped: everything that was started is ended')
      expect(output).to.not.match(/^\s+at /m)
      await leavesNothing(demo)
    })
  }
})
