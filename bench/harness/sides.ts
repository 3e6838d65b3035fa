/** The programs that are measured: how each is started, and what each cannot do. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { javaProgram } from '../../scripts/javaProgram.ts'
import { pythonProgram } from '../../scripts/pythonProgram.ts'
import { compiled } from './compiled.ts'
import type { Job, Side, SideName } from './types.ts'

const at = (path: string): string => fileURLToPath(new URL(`../peers/${path}`, import.meta.url))

/** e.g. MILLRACE_BENCH_NODE='--cpu-prof --cpu-prof-dir=/tmp/profiles' */
const nodeOptions = (): string[] => process.env.MILLRACE_BENCH_NODE?.split(' ') ?? []

const node =
  (file: string) =>
  async (job: Job): Promise<{ command: string; args: string[] }> => ({
    command: process.execPath,
    args: [...nodeOptions(), await compiled(file), JSON.stringify(job)]
  })

const passOnly =
  (why: string) =>
  (workload: string, guarantee: string): string | undefined =>
    workload === 'pass' && guarantee === 'at-least-once' ? undefined : why

const QUIX = ['read', 'pass', 'json', 'count', 'window']

function kafkaStreams(name: SideName, settings: 'default' | 'tuned'): Side {
  return {
    name,
    async command(job) {
      const { java, classPath } = await javaProgram({
        name: 'bench',
        purpose: 'run Kafka Streams beside Millrace (or leave it out: --peer none)',
        artifacts: ['kafka-streams'],
        sources: ['Peer', 'Workloads', 'TunedRocksDB'].map((file) => at(`kafka-streams/${file}.java`)),
        log: (line) => console.error(line)
      })
      const jvm = readFileSync(at(`kafka-streams/${settings}.jvm`), 'utf8')
        .split('\n')
        .filter(Boolean)
      const told = { ...job, settings: at(`kafka-streams/${settings}.properties`) }
      const args = Object.entries(told).map(([key, value]) => `${key}=${value}`)
      return { command: java, args: [...jvm, '-cp', classPath, 'Peer', ...args] }
    }
  }
}

export const SIDES: Readonly<Record<SideName, Side>> = {
  millrace: { name: 'millrace', command: node('millrace.ts') },
  'kafka-streams': kafkaStreams('kafka-streams', 'default'),
  'kafka-streams-tuned': kafkaStreams('kafka-streams-tuned', 'tuned'),
  kafkajs: {
    name: 'kafkajs',
    refuses: passOnly('has neither state nor exactly-once loops to compare with: only pass, at-least-once'),
    command: node('kafkajs.ts')
  },
  raw: { name: 'raw', refuses: passOnly('is a loop that passes records on'), command: node('raw.ts'), untracked: true },
  quix: {
    name: 'quix',
    refuses: (workload) =>
      QUIX.includes(workload) ? undefined : `its program here does ${QUIX.join(', ')} (defaults, one process)`,
    async command(job) {
      const python = await pythonProgram({
        name: 'quix',
        purpose: 'run Quix Streams beside Millrace (or leave it out: no --peer quix)',
        requirements: at('quix/requirements.txt'),
        log: (line) => console.error(line)
      })
      return { command: python, args: [at('quix/peer.py'), JSON.stringify(job)] }
    }
  }
}
