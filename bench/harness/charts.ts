/** Charts of a bench as SVG, readable on light and dark grounds. */
import type { TopLevelSpec } from 'vega-lite'
import type { Report } from './report.ts'

const INK = '#1f2328'
const LINES = '#d0d7de'
/** Viewers in the dark get these instead. */
const DARK: Readonly<Record<string, string>> = { [INK]: '#e6edf3', [LINES]: '#3d444d' }
const COLOURS = { Millrace: '#0b7a75', 'Kafka Streams, tuned': '#e08e45', 'Kafka Streams, defaults': '#8a94a6' }

const NAMES: Readonly<Record<string, keyof typeof COLOURS>> = {
  'kafka-streams': 'Kafka Streams, defaults',
  'kafka-streams-tuned': 'Kafka Streams, tuned'
}

/** File name → SVG. Peers other than Kafka Streams are in the table only. */
export async function charts({ workloads }: Report): Promise<Map<string, string>> {
  const results = workloads.filter(({ peer }) => peer in NAMES)
  const order = [...new Set(results.map(({ name }) => name))]
  const ratios = results.map(({ name, guarantee, peer, ratio }) => ({ name, guarantee, side: NAMES[peer]!, ...ratio }))
  const costs = (figure: (result: (typeof results)[number], whose: 'millrace' | 'other') => number) =>
    results.flatMap((result) => {
      const { name, guarantee, peer } = result
      const other = { name, guarantee, side: NAMES[peer]!, value: figure(result, 'other') }
      // Ours stands in the line of every peer: once is enough.
      const first = results.find((r) => r.name === name && r.guarantee === guarantee) === result
      return first
        ? [{ name, guarantee, side: 'Millrace' as const, value: figure(result, 'millrace') }, other]
        : [other]
    })
  return new Map([
    ['ratio.svg', await draw(bars(ratios, order, 'median', 'Millrace: times the records/s of …', true))],
    [
      'throughput.svg',
      await draw(
        bars(
          costs((r, whose) => r[whose].median / 1_000),
          order,
          'value',
          'thousand records/s'
        )
      )
    ],
    [
      'cpu.svg',
      await draw(
        bars(
          costs((r, whose) => (r.cpuSeconds[whose] / r.records) * 1e6),
          order,
          'value',
          'CPU s a million records'
        )
      )
    ],
    [
      'memory.svg',
      await draw(
        bars(
          costs((r, whose) => r.peakMemory[whose] / 1_048_576),
          order,
          'value',
          'MiB of memory at the peak'
        )
      )
    ]
  ])
}

function bars(values: object[], order: string[], field: string, title: string, range = false): TopLevelSpec {
  const y = {
    ...{ field: 'name', type: 'nominal', sort: order, title: null },
    axis: { domain: false, ticks: false, labelPadding: 8 }
  } as const
  const yOffset = { field: 'side', sort: Object.keys(COLOURS) } as const
  const marks = [
    {
      mark: { type: 'bar', cornerRadiusEnd: 2 },
      encoding: {
        x: { field, type: 'quantitative', title, axis: { grid: true, domain: false, ticks: false } },
        color: {
          field: 'side',
          title: null,
          scale: {
            domain: Object.keys(COLOURS).slice(range ? 1 : 0),
            range: Object.values(COLOURS).slice(range ? 1 : 0)
          },
          legend: { orient: 'top' }
        }
      }
    },
    ...(range
      ? [
          {
            mark: { type: 'rule', strokeWidth: 1.5, color: INK },
            encoding: { x: { field: 'min', type: 'quantitative' }, x2: { field: 'max' } }
          },
          ...[2, 3].map((datum) => ({
            mark: { type: 'rule', strokeDash: [4, 3], color: INK },
            encoding: { x: { datum }, y: null, yOffset: null }
          }))
        ]
      : [])
  ]
  return {
    data: { values },
    facet: { field: 'guarantee', type: 'nominal', title: null, header: { labelFontWeight: 'bold' } },
    columns: 2,
    spec: { width: 300, height: { step: range ? 13 : 9 }, encoding: { y, yOffset }, layer: marks },
    config: {
      background: 'transparent',
      font: 'system-ui, sans-serif',
      view: { stroke: null },
      ...{ axis: { labelColor: INK, titleColor: INK, gridColor: LINES, titleFontWeight: 'normal' } },
      ...{ legend: { labelColor: INK, labelLimit: 0 }, header: { labelColor: INK } }
    }
  } as unknown as TopLevelSpec // its types do not follow the layers put together here
}

async function draw(spec: TopLevelSpec): Promise<string> {
  const [vega, lite] = await Promise.all([import('vega'), import('vega-lite')])
  const svg = await new vega.View(vega.parse(lite.compile(spec).spec), { renderer: 'none' }).toSVG()
  const rules = Object.entries(DARK).flatMap(([light, dark]) =>
    ['fill', 'stroke'].map((part) => `[${part}="${light}"]{${part}:${dark}}`)
  )
  return svg.replace(/(<svg[^>]*>)/, `$1<style>@media (prefers-color-scheme:dark){${rules.join('')}}</style>`)
}
