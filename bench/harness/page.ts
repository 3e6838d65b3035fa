/** The report of a bench: a page, its charts, and the figures they are drawn from. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { charts } from './charts.ts'
import { type Report, table, timesTable, writeJson } from './report.ts'
import { verdictLines } from './verdicts.ts'

export async function writePage(folder: string, report: Report): Promise<void> {
  await mkdir(folder, { recursive: true })
  const drawn = await charts(report)
  for (const [name, svg] of drawn) await writeFile(join(folder, name), svg)
  await writeJson(join(folder, 'figures.json'), report)
  await writeFile(join(folder, 'index.html'), html(report, [...drawn.values()]))
}

function html(report: Report, drawn: readonly string[]): string {
  const tables = [table(report.workloads), ...(report.measures.length > 0 ? [timesTable(report.measures)] : [])]
  const [summary, missed] = verdictLines(report.verdicts).split('\n\n')
  const cells = (line: string, tag: string): string =>
    `<tr>${line
      .slice(2, -2)
      .split(' | ')
      .map((cell) => `<${tag}>${cell}</${tag}>`)
      .join('')}</tr>`
  const rows = (text: string): string => {
    const [head, , ...rest] = text.split('\n')
    return `<div><table>\n${[cells(head!, 'th'), ...rest.map((row) => cells(row, 'td'))].join('\n')}\n</table></div>`
  }
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Millrace beside Kafka Streams</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
  table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
  th, td { text-align: left; padding: .2rem .6rem; border-bottom: 1px solid #8884 }
  svg { max-width: 100%; height: auto; margin: 1.5rem 0 }
  div { overflow-x: auto }
</style>
<h1>Millrace beside Kafka Streams</h1>
<p><code>${report.command}</code><br>${report.date.slice(0, 16).replace('T', ' ')} UTC · ${report.machine} · ${report.broker}</p>
<p>Every run's output was read back and compared. Lines mark the least and the largest ratio of the pairs; dashes the targets, 3 to the defaults and 2 to the tuned peer.</p>
${drawn.join('\n')}
<p>${summary}</p>
${missed ? rows(missed) : ''}
${tables.map((text) => rows(text)).join('\n')}
</html>
`
}
