/** Results as lines for people, and as a JSON file. */
import { writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, totalmem } from 'node:os'
import type { Measure } from '../specials/types.ts'
import type { Result, Run, Spread } from './types.ts'
import { type Verdict, verdicts } from './verdicts.ts'

const whole = (value: number): string => Math.round(value).toLocaleString('en')
/** Small figures with two decimals. */
export const rounded = (value: number): string => (value < 10 ? value.toFixed(2) : whole(value))
const mib = (bytes: number): string => `${Math.round(bytes / 1_048_576)} MiB`

export function runLine(side: string, guarantee: string, run: Run, records: number): string {
  const cpu = ((run.cpuSeconds / records) * 1e6).toFixed(2)
  const start = `${(run.startMs / 1_000).toFixed(1)} s`
  return `  ${side.padEnd(20)} ${guarantee.padEnd(13)} ${whole(run.rate).padStart(10)} records/s  ${cpu.padStart(6)} CPU s/million  ${mib(run.peakMemory).padStart(8)}  began after ${start}`
}

export function resultLines(result: Result): string {
  const { guarantee, peer, ratio, records } = result
  const verdict = verdicts([result], []).find(({ figure }) => figure === 'records/s')
  const bar = verdict ? ` (target ≥ ${verdict.target}: ${verdict.met ? 'met' : 'MISSED'})` : ''
  const rate = ({ median, min, max }: Spread): string => `${whole(median)}/s (${whole(min)}–${whole(max)})`
  const cpu = (seconds: number): string => ((seconds / records) * 1e6).toFixed(2)
  return (
    `  ${guarantee} against ${peer}: ${ratio.median.toFixed(2)} times, ${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)}${bar}\n` +
    `    records   ${rate(result.millrace)} against ${rate(result.other)}\n` +
    `    CPU       ${cpu(result.cpuSeconds.millrace)} s a million against ${cpu(result.cpuSeconds.other)} s\n` +
    `    memory    ${mib(result.peakMemory.millrace)} against ${mib(result.peakMemory.other)} at the peak`
  )
}

/** One row a workload, guarantee and peer, to be read at a glance. */
export function table(results: readonly Result[]): string {
  const rows = results.map(({ name, guarantee, peer, millrace, other, ratio, cpuSeconds, peakMemory, records }) => {
    const million = (seconds: number): string => ((seconds / records) * 1e6).toFixed(2)
    const cells = [
      ...[name, guarantee, peer, whole(millrace.median), whole(other.median)],
      `${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})`,
      `${million(cpuSeconds.millrace)} / ${million(cpuSeconds.other)}`,
      `${mib(peakMemory.millrace)} / ${mib(peakMemory.other)}`
    ]
    return `| ${cells.join(' | ')} |`
  })
  const head =
    '| workload | guarantee | peer | records/s | peer | ratio | CPU s a million | peak memory |\n|---|---|---|---|---|---|---|---|'
  return [head, ...rows].join('\n')
}

/** One row a figure and guarantee, one column a side. */
export function timesTable(measures: readonly Measure[]): string {
  const sides = [...new Set(measures.map(({ side }) => side))]
  const lines = [
    ...new Set(measures.map(({ name, figure, guarantee, unit }) => [name, figure, guarantee, unit].join(' | ')))
  ]
  const cell = (line: string, side: string): string => {
    const found = measures.find((m) => m.side === side && [m.name, m.figure, m.guarantee, m.unit].join(' | ') === line)
    return found ? `${rounded(found.values.median)} (${rounded(found.values.min)}–${rounded(found.values.max)})` : '–'
  }
  const rows = lines.map((line) => `| ${line} | ${sides.map((side) => cell(line, side)).join(' | ')} |`)
  const head = `| bench | figure | guarantee | unit | ${sides.join(' | ')} |\n|---|---|---|---|${sides.map(() => '---|').join('')}`
  return [head, ...rows].join('\n')
}

export const machine = (): string =>
  `${availableParallelism()} × ${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform} ${process.arch}, Node ${process.version}`

export interface Report {
  readonly date: string
  readonly command: string
  readonly machine: string
  readonly broker: string
  readonly workloads: readonly Result[]
  /** What the special benches found: latency, start, restore … */
  readonly measures: readonly Measure[]
  /** Of both, where there is a target. */
  readonly verdicts: readonly Verdict[]
}

export function report(broker: string, workloads: readonly Result[], measures: readonly Measure[]): Report {
  const command = `npm run bench -- ${process.argv.slice(2).join(' ')}`.trim().replace(/ --$/, '')
  return {
    date: new Date().toISOString(),
    command,
    machine: machine(),
    broker,
    workloads,
    measures,
    verdicts: verdicts(workloads, measures)
  }
}

export const writeJson = (file: string, content: Report): Promise<void> =>
  writeFile(file, `${JSON.stringify(content, null, 2)}\n`)
