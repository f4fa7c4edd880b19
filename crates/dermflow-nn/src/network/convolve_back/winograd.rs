//! The backward pass of a 3×3 convolution of stride 1 that makes fewer products, some images at a time.

use crate::kernels::bordered::Bordered;
use crate::kernels::product::End;
use crate::kernels::winograd::{self, Adjoint, Frame, Gradients};

use super::super::context::{Source, sum_in_lanes, winograd_lanes};
use super::Backward;

impl Backward<'_> {
    pub(super) fn winograd(
        &self,
        weight_gradient: &mut [f32],
        out: Option<&mut [f32]>,
        end: End<'_>,
    ) -> Vec<f64> {
        let (context, of) = (self.context, self.of);
        let (inputs, outputs) = (of.inputs, of.outputs);
        let weight = &context.decayed[of.weight.clone()];
        let window = context.window(of, self.grid.size(), None);
        let size = window.small;
        let adjoint = Adjoint::new(context.pool, context.set, weight, outputs, out.is_some());
        let Source::Plain(values) = self.source else {
            unreachable!("a 3×3 convolution reads what is stored");
        };
        let lane_count = winograd_lanes(self.grid.count, self.out_grid.places());
        let together = winograd::images_of_band(size).min(self.grid.count.div_ceil(lane_count));
        let image_len = self.grid.of_image() * inputs;
        let up_len = self.out_grid.of_image() * outputs;
        let parts = Self::parts(out, lane_count, self.grid.count, image_len);
        let add = matches!(end, End::Add);
        sum_in_lanes(
            context.pool,
            parts,
            self.grid.count,
            weight_gradient,
            |share, mut out, weights| {
                if let Some(out) = &mut out
                    && !add
                {
                    out.fill(0.0);
                }
                let mut up = context.pool.take(together * up_len);
                let mut scratch = adjoint.scratch(context.pool, together, size);
                let first = share.start;
                for start in share.clone().step_by(together) {
                    let images = start..(start + together).min(share.end);
                    for (image, up) in images.clone().zip(up.chunks_exact_mut(up_len)) {
                        self.up_image(image, &Bordered::new(size, (0, 0), size), 1, up);
                    }
                    let own = (images.start - first) * image_len..(images.end - first) * image_len;
                    let of = Gradients {
                        images: images.len(),
                        size,
                        up: &up,
                        frame: Frame::of(&window),
                        read: &values[images.start * image_len..images.end * image_len],
                        back: out.as_deref_mut().map(|out| &mut out[own]),
                    };
                    adjoint.run(context.set, of, &mut scratch);
                }
                adjoint.weigh(context.set, &scratch, weights);
            },
        );
        Vec::new()
    }
}
