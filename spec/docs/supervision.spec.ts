import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { drawn, GUIDE } from '../../scripts/diagrams.ts'
import { guide } from './snippets.ts'

guide('docs/supervision.md', { checks: 7 })

describe('The diagrams in docs/supervision.md', () => {
  it('are those of the machines; `node --import tsx scripts/diagrams.ts` draws them anew', () => {
    const text = readFileSync(GUIDE, 'utf8')
    expect(drawn(text)).to.equal(text)
  })
})
