/** All given conformance cases on the synchronous driver. */
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { compare } from './compare.ts'
import { runCase } from './engines/driver.ts'
import { type CaseFile, checkCase, FormatError, readCases } from './format.ts'

const FOLDER = fileURLToPath(new URL('../cases/conformance', import.meta.url))

/** Features whose absence shows only in the results: their cases wait until the operators are there. */
const PENDING: readonly string[] = []

const OWN = fileURLToPath(new URL('../cases/differential', import.meta.url))

const files: CaseFile[] = readCases([FOLDER, OWN])

describe('Conformance cases on the driver', () => {
  it('are all in the format', () => {
    expect(files.flatMap((file) => file.error ?? [])).to.deep.equal([])
    expect(files.flatMap((file) => file.cases)).to.have.length.of.at.least(93)
  })

  for (const { path, cases } of files) {
    describe(path.slice(path.lastIndexOf('/') + 1), () => {
      for (const c of cases) {
        if (c.artefact) continue
        it(c.name, async function () {
          const result = await runCase(c)
          const feature = PENDING.find((word) => JSON.stringify(c.topology).includes(word))
          const pending = 'notBuilt' in result ? result.notBuilt : feature && compare(c, result.outcome) && feature
          if (pending) {
            console.log(`      not yet: ${pending}`)
            return this.skip()
          }
          if ('outcome' in result) expect(compare(c, result.outcome)).to.equal(undefined)
        })
      }
    })
  }
})

describe('The reader of conformance cases', () => {
  const good = {
    name: 'a case',
    topology: { op: 'stream', topic: 'in' },
    inputs: [{ topic: 'in', key: 'k', value: 1, ts: 0 }],
    expect: { all: [{ key: 'k', value: 1 }] }
  }
  const refused = (change: object, word: string): void => {
    expect(() => checkCase({ ...good, ...change }, 'file')).to.throw(FormatError, word)
  }

  it('takes a case of known fields', () => {
    expect(checkCase(good, 'file').name).to.equal('a case')
  })

  it('refuses a field that it does not know, wherever it stands', () => {
    refused({ speed: 1 }, '"speed" is not known')
    refused({ topology: { op: 'stream', topic: 'in', speed: 1 } }, '"speed" is not known')
    refused({ inputs: [{ ...good.inputs[0], speed: 1 }] }, '"speed" is not known')
    refused({ expect: { all: [{ key: 'k', value: 1, speed: 1 }] } }, '"speed" is not known')
    refused({ expect: { most: [] } }, '"most" is not known')
  })

  it('refuses ops, windows, functions and joiners that it does not know', () => {
    refused({ topology: { op: 'spin', in: good.topology } }, 'the op "spin" is not known')
    refused({ topology: { op: 'toString', in: good.topology } }, 'the op "toString" is not known')
    refused({ topology: { op: 'filter', in: good.topology, where: 'odd' } }, '"odd"')
    refused({ topology: { op: 'windowedBy', in: good.topology, window: { kind: 'weekly', sizeMs: 1 } } }, '"weekly"')
    refused(
      { topology: { op: 'join', how: 'right', left: good.topology, right: good.topology, joiner: 'dash' } },
      '"right"'
    )
  })

  it('refuses steps of inputs that are not there, or that are named twice', () => {
    refused({ expect: { steps: [{ after: 2, out: [] }] } }, 'there is no input 2')
    refused(
      {
        expect: {
          steps: [
            { after: 1, out: [] },
            { after: 1, out: [] }
          ]
        }
      },
      'named twice'
    )
  })
})
