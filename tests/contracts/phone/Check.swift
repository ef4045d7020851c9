// The iOS project's plain Swift, asked over a pipe by test_phone_apps.py, which is its engine.

import Foundation

let input = FileHandle.standardInput
let output = FileHandle.standardOutput

func bytes(_ count: Int) -> Data {
    var data = Data()
    while data.count < count {
        guard let more = try! input.read(upToCount: count - data.count), !more.isEmpty else { exit(1) }
        data.append(more)
    }
    return data
}

func number() -> Int {
    Int(Int32(bitPattern: bytes(4).reduce(0) { $0 << 8 | UInt32($1) }))
}

func frame() -> Frame {
    let size = Size(height: number(), width: number())
    return Frame(size: size, rgba: [UInt8](bytes(4 * size.height * size.width)))
}

func packed(_ number: Int) -> Data {
    withUnsafeBytes(of: Int32(truncatingIfNeeded: number).bigEndian) { Data($0) }
}

func packed(_ numbers: [Float]) -> Data {
    numbers.map { $0.bitPattern.bigEndian }.withUnsafeBytes { Data($0) }
}

func floats(_ data: Data) -> [Float] {
    [UInt8](data).withUnsafeBytes { $0.bindMemory(to: UInt32.self).map { Float(bitPattern: $0.bigEndian) } }
}

/// Asks the test for the outputs of a graph.
struct Asking: Engine {
    let graph: Int

    func run(_ inputs: [String: [Float]]) throws -> [String: [Float]] {
        var told = Data("E".utf8) + packed(graph) + packed(inputs.count)
        for (name, data) in inputs {
            told += Data([0, UInt8(name.utf8.count)]) + Data(name.utf8) + packed(data.count) + packed(data)
        }
        output.write(told)
        var found: [String: [Float]] = [:]
        for _ in 0..<number() {
            let name = String(decoding: bytes(Int(bytes(2).last!)), as: UTF8.self)
            found[name] = floats(bytes(4 * number()))
        }
        return found
    }
}

func tell(_ kind: String, _ numbers: [Int], _ data: [UInt8]) {
    var told = Data(kind.utf8) + packed(numbers.count)
    for number in numbers { told += packed(number) }
    output.write(told + packed(data.count) + Data(data))
}

func box() -> Box { Box(left: number(), top: number(), width: number(), height: number()) }

let file = URL(fileURLWithPath: CommandLine.arguments[1])
let manifest = try Manifest(data: Data(contentsOf: file))
let segmenter = Segmenter(manifest: manifest, engine: Asking(graph: 0))
let head = PromptHead(graph: manifest.promptHead!, engine: Asking(graph: 1))
let session = Session(segmenter: Segmenter(manifest: manifest, engine: Asking(graph: 0)), head: head)
loop: while true {
    switch String(decoding: bytes(1), as: UTF8.self) {
    case "S":
        let picture = frame()
        let isGiven = bytes(1)[0] != 0
        let given = isGiven ? [UInt8](bytes(picture.size.height * picture.size.width)) : nil
        let found = try segmenter.step(picture, given: given)
        let view = found.view
        let states = found.confidence.sorted { $0.key < $1.key }.flatMap { [$0.key, Int($0.value.bitPattern)] }
        tell("S", [view.left, view.top, view.width, view.height] + states, found.labels)
    case "b": session.showBox(box())
    case "t": session.showTap(x: number(), y: number())
    case "d": session.dropLast()
    case "r": session.reset()
    case "n":
        let picture = frame()
        let told: String
        do {
            let keys = try session.step(picture)?.confidence.keys.sorted()
            told = keys.map { $0.map(String.init).joined(separator: ", ") } ?? "nothing"
        } catch let refusal as Refusal {
            told = refusal.message
        }
        tell("N", [], Array(told.utf8))
    case "D": segmenter.drop(number())
    case "R": segmenter.reset()
    case "B":
        let picture = frame()
        tell("M", [], try head.mask(picture, box: box()))
    case "T":
        let picture = frame()
        tell("M", [], try head.mask(picture, x: number(), y: number()))
    case "P":
        let size = Size(height: number(), width: number())
        let (width, height) = (Double(number()), Double(number()))
        let isMirrored = bytes(1)[0] != 0
        let place = Placement(frame: size, viewWidth: width, viewHeight: height, isMirrored: isMirrored)
        let pixel = place.pixel(Double(number()), Double(number()))
        tell("P", [pixel.x, pixel.y], [])
    case "O": tell("O", overlay([UInt8](bytes(number()))).map { Int(Int32(bitPattern: $0)) }, [])
    case "I": tell("I", segmenter.objects + [segmenter.freeId ?? -1], [])
    default: break loop
    }
}
