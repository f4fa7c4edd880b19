//! The backward pass of a 3×3 convolution of stride 1 that makes fewer products, image by image.

use crate::kernels::product::End;
use crate::kernels::winograd::{Adjoint, Filters, Image};

use super::super::context::{sum_in_lanes, winograd_lanes};
use super::super::convolve::fill;
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
        let wanted = out.is_some();
        let adjoint = Adjoint::new(context.pool, context.set, weight, outputs, wanted);
        let of_read = Filters::bordered(size, (window.above, window.left));
        let of_up = Adjoint::bordered(size);
        let lane_count = winograd_lanes(self.grid.count, self.out_grid.places());
        let image_len = self.grid.of_image() * inputs;
        let parts = Self::parts(out, lane_count, self.grid.count, image_len);
        let add = matches!(end, End::Add);
        sum_in_lanes(
            context.pool,
            parts,
            self.grid.count,
            weight_gradient,
            |share, mut out, weights| {
                let mut up = context.pool.zeros(of_up.len(outputs));
                let mut read = context.pool.take(of_read.len(inputs));
                let mut back = context.pool.take(if wanted { of_read.len(inputs) } else { 0 });
                let mut scratch = adjoint.scratch(context.pool, size);
                for (index, image) in share.enumerate() {
                    self.up_image(image, &of_up, 1, &mut up);
                    fill(
                        context,
                        self.source,
                        self.grid,
                        image,
                        inputs,
                        &of_read,
                        &mut read,
                    );
                    back.fill(0.0);
                    let image = Image {
                        size,
                        up: &up,
                        read: &read,
                        back: &mut back,
                    };
                    adjoint.run(context.set, image, &mut scratch);
                    if let Some(out) = &mut out {
                        let out = &mut out[index * image_len..(index + 1) * image_len];
                        of_read.take_out(inputs, self.grid.width, &back, out, add);
                    }
                }
                adjoint.weigh(context.set, &scratch, weights);
            },
        );
        Vec::new()
    }
}
