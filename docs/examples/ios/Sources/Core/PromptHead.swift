import Foundation

private let onChannel = 0  // of the prompt; 1 is for clicks beside the object
private let boxChannel = 2
private let maskChannel = 3
private let clickCells = 1.5
private let boxMargin = 0.25
private let maskMargin = 0.4
private let foundMargin = 0.15
private let leastViewPx = 64.0
private let leastGain = 1.25

/// A part of a frame as the network takes it.
private struct Look {
    let frame: Size
    let view: Box
    let letterbox: Letterbox
    let image: [Float]
    let prompt: [Float]
}

/// Make a mask of one object from a box or a tap, as runtime/prompts/prompt_head.py. The network looks
/// twice, the second time mirrored and with what it found at first; after a tap on something large a third
/// time, closer at what it found.
final class PromptHead {
    private let size: Size
    private let engine: Engine

    init(graph: Graph, engine: Engine) {
        size = graph.size
        self.engine = engine
    }

    /// - Returns: a mask of the frame's size, 1 on the object in the box; all 0 if none was found.
    func mask(_ frame: Frame, box: Box) throws -> [UInt8] {
        let look = lookAt(frame, around(box, boxMargin, frame.size), box: box)
        return try drawn(look, again(look, run(look.image, look.prompt)))
    }

    /// - Returns: a mask of the frame's size, 1 on the object under the pixel at (x, y).
    func mask(_ frame: Frame, x: Int, y: Int) throws -> [UInt8] {
        let tap = Box(left: x, top: y, width: 1, height: 1)
        let whole = Box.whole(frame.size)
        var look = lookAt(frame, whole, tap: tap)
        var found = try run(look.image, look.prompt)
        let mask = drawn(look, found)
        let seen = boxAround(mask, frame.size)?.joined(tap) ?? tap
        let closer = around(seen, maskMargin, frame.size)
        let isClose = scale(closer) / scale(whole) >= leastGain
        if isClose {
            look = lookAt(frame, closer, tap: tap, mask: mask)
            found = try run(look.image, look.prompt)
        }
        let second = try drawn(look, again(look, found))
        guard !isClose, let object = boxAround(second, frame.size) else { return second }
        look = lookAt(frame, around(object.joined(tap), foundMargin, frame.size), tap: tap, mask: second)
        return try drawn(look, run(look.image, look.prompt))
    }

    /// Look once more, mirrored, with what was found as the prompt's mask.
    private func again(_ look: Look, _ found: [Float]) throws -> [Float] {
        let cells = size.width / maskStride
        var prompt = look.prompt
        prompt.replaceSubrange((maskChannel * found.count)..., with: found)
        let turned = try run(mirrored(look.image, size.width), mirrored(prompt, cells))
        return mirrored(turned, cells)
    }

    private func run(_ image: [Float], _ prompt: [Float]) throws -> [Float] {
        try engine.run(["image": image, "prompt": prompt])["probability"]!
    }

    /// The part of the frame around a box, in the image's aspect ratio as far as the frame reaches.
    private func around(_ box: Box, _ margin: Double, _ frame: Size) -> Box {
        let height = max(Double(box.height) * (1 + 2 * margin), leastViewPx)
        let width = max(Double(box.width) * (1 + 2 * margin), leastViewPx)
        let ratio = Double(size.width) / Double(size.height)
        return Box.at(
            box.centreX, box.centreY, height: max(height, width / ratio),
            width: max(width, height * ratio), frame: frame
        )
    }

    private func scale(_ view: Box) -> Double {
        min(Double(size.height) / Double(view.height), Double(size.width) / Double(view.width))
    }

    private func lookAt(
        _ frame: Frame, _ view: Box, box: Box? = nil, tap: Box? = nil, mask: [UInt8]? = nil
    ) -> Look {
        let letterbox = Letterbox(frame: view.size, image: size)
        var image = [Float](repeating: neutral, count: 3 * size.height * size.width)
        letterbox.fill(frame, view, into: &image)
        let cells = (size.height / maskStride) * (size.width / maskStride)
        var prompt = [Float](repeating: 0, count: 4 * cells)
        let (rows, columns) = (letterbox.content.height / maskStride, letterbox.content.width / maskStride)
        let (down, across) = (Double(rows) / Double(view.height), Double(columns) / Double(view.width))
        if let tap {
            let row = (Double(tap.top - view.top) + 0.5) * down - 0.5
            let column = (Double(tap.left - view.left) + 0.5) * across - 0.5
            func spot(_ away: Double) -> Double { exp(-0.5 * (away / clickCells) * (away / clickCells)) }
            let click = plane(rows, columns) { spot(Double($0) - row) * spot(Double($1) - column) }
            letterbox.paste(click, into: &prompt, offset: onChannel * cells)
        }
        if let box {
            func inside(_ cell: Int, _ start: Int, _ side: Int, _ scale: Double) -> Double {
                let stop = min(Double(start + side) * scale, Double(cell + 1))
                return min(max(stop - max(Double(start) * scale, Double(cell)), 0), 1)
            }
            let covered = plane(rows, columns) {
                inside($0, box.top - view.top, box.height, down)
                    * inside($1, box.left - view.left, box.width, across)
            }
            letterbox.paste(covered, into: &prompt, offset: boxChannel * cells)
        }
        if let mask {
            let covered = letterbox.coverage(view.of(mask, frame.size), 1)
            letterbox.paste(covered, into: &prompt, offset: maskChannel * cells)
        }
        return Look(frame: frame.size, view: view, letterbox: letterbox, image: image, prompt: prompt)
    }

    /// - Returns: a mask of the frame's size, its outlines along the picture's.
    private func drawn(_ look: Look, _ probability: [Float]) -> [UInt8] {
        let likely = look.letterbox.crop(probability)
        let unlikely = likely.map { 1 - likely.data[$0] }
        let levels = outlineLevels(unlikely, [likely], look.letterbox, look.image).data
        return look.view.placed(levels.map { $0 > outlineLevel ? 1 : 0 }, look.frame)
    }

    private func plane(_ height: Int, _ width: Int, _ at: (Int, Int) -> Double) -> Plane {
        let data = (0..<height * width).map { Float(at($0 / width, $0 % width)) }
        return Plane(height: height, width: width, data: data)
    }
}

/// - Returns: each row from its end to its start.
private func mirrored(_ rows: [Float], _ width: Int) -> [Float] {
    rows.indices.map { rows[$0 + width - 1 - 2 * ($0 % width)] }
}
