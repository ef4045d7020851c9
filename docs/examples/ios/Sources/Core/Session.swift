/// What a user and a camera do to a `Segmenter`: shows objects, drops them, brings frames. All of it
/// from one thread.
final class Session {
    private enum Shown {
        case box(Box)
        case tap(x: Int, y: Int)
    }

    private let segmenter: Segmenter
    private let head: PromptHead?
    private var shown: Shown?

    /// - Parameter head: makes masks of boxes and taps; without one a box is itself the mask, and taps
    ///   are refused.
    init(segmenter: Segmenter, head: PromptHead?) {
        self.segmenter = segmenter
        self.head = head
    }

    /// Show a new object in the next frame: a box around it, in pixels of the frame.
    func showBox(_ box: Box) { shown = .box(box) }

    /// Show a new object in the next frame: one pixel (x, y) of it.
    func showTap(x: Int, y: Int) { shown = .tap(x: x, y: y) }

    /// Forget the object that was shown last.
    func dropLast() {
        if let last = segmenter.objects.last { segmenter.drop(last) }
    }

    /// Forget everything.
    func reset() {
        shown = nil
        segmenter.reset()
    }

    /// - Returns: what the frame shows, or nil while nothing is followed.
    func step(_ frame: Frame) throws -> FrameResult? {
        let now = shown
        shown = nil
        let given = try now.map { try labels(frame, $0) }
        return given == nil && segmenter.objects.isEmpty ? nil : try segmenter.step(frame, given: given)
    }

    private func labels(_ frame: Frame, _ shown: Shown) throws -> [UInt8] {
        guard let id = segmenter.freeId else {
            throw Refusal(message: "All objects are in use: drop one first.")
        }
        let found: [UInt8]
        switch (shown, head) {
        case (.box(let box), .some(let head)): found = try head.mask(frame, box: box)
        case (.tap(let x, let y), .some(let head)): found = try head.mask(frame, x: x, y: y)
        case (.box(let box), nil): found = filled(frame.size, box)
        case (.tap, nil): throw Refusal(message: "This bundle has no prompt head: drag a box.")
        }
        if !found.contains(1) { throw Refusal(message: "No object was found there: drag another box.") }
        return found.map { $0 == 0 ? 0 : UInt8(id) }
    }
}

private func filled(_ size: Size, _ box: Box) -> [UInt8] {
    var mask = [UInt8](repeating: 0, count: size.height * size.width)
    for y in box.top..<min(box.top + box.height, size.height) {
        for x in box.left..<min(box.left + box.width, size.width) { mask[y * size.width + x] = 1 }
    }
    return mask
}
