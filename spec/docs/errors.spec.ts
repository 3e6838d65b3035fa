/** docs/errors.md against the sources: each code has a section, no section is left over, examples are messages that exist. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'

const root = fileURLToPath(new URL('../..', import.meta.url))
const text = ['lib', 'actors']
  .flatMap((folder) => (readdirSync(join(root, folder), { recursive: true }) as string[]).map((f) => join(folder, f)))
  .filter((file) => file.endsWith('.ts'))
  .map((file) => readFileSync(join(root, file), 'utf8'))
  .join('\n')
const doc = readFileSync(join(root, 'docs/errors.md'), 'utf8')

/** Codes as they stand in the sources, and those that TransportError makes of its faults. */
function codes(): string[] {
  const union = /export type Fault =([\s|'a-z-]+)/.exec(text)![1]!
  const faults = [...union.matchAll(/'([a-z-]+)'/g)].map(
    ([, f]) => `ERR_TRANSPORT_${f!.toUpperCase().replaceAll('-', '_')}`
  )
  const literal = [...text.matchAll(/ERR_[A-Z_]*[A-Z](?![A-Z_])/g)].map(([code]) => code)
  return [...new Set([...literal, ...faults])].sort()
}

const sections = doc.split(/^## /m).slice(1)
const nameOf = (section: string): string => section.slice(0, section.indexOf('\n')).trim()

/** One long line of words, with pieces of a message joined as they are at run time. */
const words = (s: string): string[] =>
  s
    .replace(/(['"`])\s*\+\s*(['"`])/g, '')
    .replace(/\$\{/g, ' ${')
    .replace(/\(?[`'"],?/g, ' ')
    .replace(/[.:,](?=\s|$)/g, '')
    .split(/\s+/)

describe('docs/errors.md', () => {
  it('has a section for every code in lib and actors, and no other, in the order of the alphabet', () => {
    expect(sections.map(nameOf)).to.deep.equal(codes())
    expect(codes().length, 'the collection works').to.be.above(40)
  })

  it('lists each of them once in the table, with a link that works', () => {
    const rows = [...doc.matchAll(/^\| \[(ERR_[A-Z_]+)\]\(#([a-z_]+)\) \|/gm)]
    expect(rows.map(([, code]) => code)).to.deep.equal(codes())
    for (const [, code, link] of rows) expect(link).to.equal(code!.toLowerCase())
  })

  it('says what happened, what to do, and shows a message', () => {
    for (const section of sections) {
      expect(section, nameOf(section)).to.match(/\n[A-Z`][^>]*\n\*\*To do:\*\* .+\n(?:.+\n)*?> .+/)
    }
  })

  it('shows messages whose words stand together in the sources', () => {
    const source = ` ${words(text).join(' ')} `
    const invented = sections.filter((section) => {
      const example = words(/^> (.+)$/m.exec(section)![1]!)
      // Four in a row are no accident, and hardly a message has names so dense that it has no four.
      const run = Math.min(4, example.length - 1)
      return !example.some(
        (_, i) => i + run <= example.length && source.includes(` ${example.slice(i, i + run).join(' ')} `)
      )
    })
    expect(invented.map(nameOf)).to.deep.equal([])
  })
})
