/** docs/semantics.md against the DSL: every operator has a row. The cells are held by the specs of the operators. */
import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { Cogrouped, SessionCogrouped, WindowedCogrouped } from '../../lib/dsl/cogroup.ts'
import { Grouped } from '../../lib/dsl/grouped.ts'
import { GroupedTable } from '../../lib/dsl/groupedTable.ts'
import { TopologyBuilder } from '../../lib/dsl/index.ts'
import { SessionGrouped } from '../../lib/dsl/sessionGrouped.ts'
import { Stream } from '../../lib/dsl/stream.ts'
import { Table } from '../../lib/dsl/table.ts'
import { WindowedGrouped } from '../../lib/dsl/windowedGrouped.ts'

const doc = readFileSync(new URL('../../docs/semantics.md', import.meta.url), 'utf8')
const table = doc.slice(doc.indexOf('## Operators'), doc.indexOf('\n\n- A window'))
const rows = table.split('\n').filter((line) => /^\| (table )?`/.test(line))
const named = new Set(rows.flatMap((row) => [...row.split(' | ')[0]!.matchAll(/`(\w+)`/g)].map(([, name]) => name!)))

/** Not operators. */
const OTHER = ['constructor', 'build', 'describe', 'rows']
const CLASSES = [
  TopologyBuilder,
  Stream,
  Table,
  Grouped,
  WindowedGrouped,
  SessionGrouped,
  GroupedTable,
  Cogrouped,
  WindowedCogrouped,
  SessionCogrouped
]
const methods = CLASSES.flatMap((type) =>
  Object.getOwnPropertyNames(type.prototype).filter((name) => !OTHER.includes(name))
)

describe('docs/semantics.md', () => {
  it('has a row for every operator of the DSL, and none that does not exist', () => {
    expect([...named].sort()).to.deep.equal([...new Set(methods)].sort())
  })

  it('fills every cell', () => {
    expect(rows.length).to.be.above(10)
    for (const row of rows) {
      const cells = row.split('|').slice(1, -1)
      expect(cells, row).to.have.length(8)
      for (const cell of cells) expect(cell.trim(), row).not.to.equal('')
    }
  })
})
