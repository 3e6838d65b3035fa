/** Results as lines for people, and as a JSON file. */
import { writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, totalmem } from 'node:os'
import type { Result, Run, Side, Spread } from './types.ts'

const whole = (value: number): string => Math.round(value).toLocaleString('en')
const mib = (bytes: number): string => `${Math.round(bytes / 1_048_576)} MiB`

export function runLine(side: Side, run: Run, records: number): string {
  const cpu = (run.cpuSeconds / records) * 1e6
  return `  ${side.name.padEnd(24)}${whole(run.rate).padStart(10)} records/s  ${cpu.toFixed(2).padStart(6)} CPU s/million  ${mib(run.peakMemory).padStart(8)}`
}

export function resultLines(result: Result): string {
  const { side, peer, ratio, target } = result
  const bar = target === undefined ? '' : ` (target ≥ ${target}: ${ratio.median >= target ? 'met' : 'MISSED'})`
  const rate = ({ median, min, max }: Spread): string => `${whole(median)}/s (${whole(min)}–${whole(max)})`
  return (
    `  ${side} against ${peer}: ${ratio.median.toFixed(2)} times, ${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)}${bar}\n` +
    `    records   ${rate(result.millrace)} against ${rate(result.other)}\n` +
    `    CPU       ${result.cpuSeconds.millrace.toFixed(2)} s a run against ${result.cpuSeconds.other.toFixed(2)} s\n` +
    `    memory    ${mib(result.peakMemory.millrace)} against ${mib(result.peakMemory.other)} at the peak`
  )
}

export const machine = (): string =>
  `${availableParallelism()} × ${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform} ${process.arch}, Node ${process.version}`

export async function writeJson(file: string, broker: string, workloads: readonly Result[]): Promise<void> {
  const command = `npm run bench -- ${process.argv.slice(2).join(' ')}`.trim()
  const report = { date: new Date().toISOString(), command, machine: machine(), broker, workloads }
  await writeFile(file, `${JSON.stringify(report, null, 2)}\n`)
}
